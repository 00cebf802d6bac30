"""The processes that share a run."""

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


def shared_state(use_cpu: bool = False) -> PartialState:
    """Return this process's place among those that share a run.

    `PartialState()` without `cpu` takes each of several CPU processes for the only one, until `TrainingArguments` asks
    again.

    Args:
        use_cpu (`bool`): what `training.use_cpu` says; `ACCELERATE_USE_CPU`, as the launcher sets it, counts too.
    """
    return PartialState(cpu=use_cpu or parse_flag_from_env("ACCELERATE_USE_CPU"))


def part() -> None:
    """End what the processes of a finished run share.

    One that leaves without a word can tear the connection down under another that is still leaving, and that one then
    dies of SIGABRT after a success.
    """
    state = shared_state()
    state.wait_for_everyone()
    state.destroy_process_group()
