"""What results.json holds of a training, whatever kind of recipe it was."""

from collections.abc import Mapping, Sequence

from .history import joined
from .order import Order
from .report import environment


def of_training(plans: Sequence, told: Sequence[dict], training: Mapping, order: Order) -> dict:
    """Return its seed, its stages, where the time went, and on what it ran.

    Args:
        plans (`Sequence[Plan]`): of the stages.
        told (`Sequence[dict]`): what [`train_stages`] told of each; their histories are taken out and put together.
        training (`Mapping`): the recipe's training fields.
        order (`Order`): of the run.
    """
    last, seconds = plans[-1], order.clock.seconds()
    computed = sum(one["computed"] for one in told)
    history = joined([one.pop("history", []) for one in told])
    dtypes = {phase: dtype for one in told for phase, dtype in one["dtypes"].items()}
    return {
        "seed": last.args.seed,
        "fit": told[-1],
        "stages": list(told),
        "history": history,
        "timing": seconds,
        "throughput": {
            "features_per_s": round(computed / seconds["features_s"], 1) if computed else None,
            "train_samples_per_s": told[-1].get("samples_per_s"),
        },
        "parameters": {"trainable": max(plan.trainable for plan in plans), "total": last.total},
        "environment": environment(last.args, order.state.num_processes, dtypes),
        "training": dict(training),
    }


def of_rows(splits) -> dict:
    """Return how many rows each split has, what was dropped, and the fingerprint of all (see [`Splits`])."""
    return {
        "train": len(splits.train),
        "validation": len(splits.validation),
        "test": len(splits.test),
        "fingerprint": splits.fingerprint,
        "dropped": splits.dropped,
    }
