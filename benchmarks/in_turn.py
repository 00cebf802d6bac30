"""Ways to compute the same batches, timed in one process, in turn."""

import time
from collections.abc import Callable, Mapping, Sequence

WARM_UP = 4  # batches


def in_turn(sides: Mapping[str, Callable], batches: Sequence, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Give each batch to every side before the next one, since a machine drifts within a round too.

    Args:
        sides (`Mapping[str, Callable]`): name to a function of a batch.
        batches (`Sequence`): what is computed in a round.
        rounds (`int`): how often, after a few batches that are not counted.

    Returns:
        By side `"wall_s"` and `"cpu_s"`, seconds for all batches, a value for each round.
    """
    seconds = {name: {"wall_s": [], "cpu_s": []} for name in sides}
    for step in sides.values():
        for batch in batches[:WARM_UP]:
            step(batch)
    for _ in range(rounds):
        passed = {name: [0.0, 0.0] for name in sides}
        for number, batch in enumerate(batches):
            for name in list(sides)[:: 1 if number % 2 else -1]:
                wall, cpu = time.perf_counter(), time.process_time()
                sides[name](batch)
                passed[name][0] += time.perf_counter() - wall
                passed[name][1] += time.process_time() - cpu
        for name, (wall, cpu) in passed.items():
            seconds[name]["wall_s"].append(round(wall, 3))
            seconds[name]["cpu_s"].append(round(cpu, 3))
    return seconds
