"""The processes that share a run."""

from collections.abc import Callable
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env

from .errors import UserError


def shared_state(use_cpu: bool = False) -> PartialState:
    """Return this process's place among those that share a run.

    `PartialState()` without `cpu` takes each of several CPU processes for the only one, until `TrainingArguments` asks
    again.

    Args:
        use_cpu (`bool`): what `training.use_cpu` says; `ACCELERATE_USE_CPU`, as the launcher sets it, counts too.
    """
    return PartialState(cpu=use_cpu or parse_flag_from_env("ACCELERATE_USE_CPU"))


def computed_by_main(state: PartialState, compute: Callable[[], Any], what: str = "the computation") -> Any:
    """Compute something on the main process and give it to every other one.

    Args:
        state (`accelerate.PartialState`): who is here.
        compute: called on the main process alone; what it returns can be pickled.
        what (`str`): for the message of the others, when it fails.

    Raises:
        `UserError`: `compute` raised one; every process raises it.
        `RuntimeError`: on the other processes, when `compute` raised anything else, which the main one raises itself.
    """
    if state.num_processes == 1:
        return compute()
    # The others wait in the broadcast: they must be told of an error too, or they would wait for ever.
    said, raised = [None, None, False], None
    if state.is_main_process:
        try:
            said = [compute(), None, False]
        except Exception as error:
            raised, said = error, [None, str(error), isinstance(error, UserError)]
    outcome, error, is_mistake = broadcast_object_list(said)
    if raised is not None:
        raise raised
    if error is not None:
        raise UserError(error) if is_mistake else RuntimeError(f"{what} failed on the main process: {error}")
    return outcome


def part() -> None:
    """End what the processes of a finished run share.

    One that leaves without a word can tear the connection down under another that is still leaving, and that one then
    dies of SIGABRT after a success.
    """
    state = shared_state()
    state.wait_for_everyone()
    state.destroy_process_group()
