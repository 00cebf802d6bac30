"""WiSE-FT: the models on the straight line between a start and what fine-tuning made of it."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..card import markdown
from ..clock import Clock
from ..errors import UserError
from ..metrics import HEADLINE
from ..ranking import rank
from ..results import RunResult, align, title
from ..scrub import source_name
from .averaging import interpolate
from .curve import PICTURE, curve_rows, draw_curve
from .members import open_members
from .publishing import Account, claimed, publish_average
from .workplace import Workplace

ALPHAS = tuple(tenth / 10 for tenth in range(11))


def wise_ft(
    start: str | os.PathLike,
    end: str | os.PathLike,
    output_dir: str | os.PathLike,
    alphas: Sequence[float] = ALPHAS,
    second_test=None,
    *,
    overwrite: bool = False,
    trust_remote_code: bool = False,
) -> RunResult:
    """Interpolate weights, theta = (1 - alpha) start + alpha end, and keep the best alpha.

    Alpha is chosen by the headline metric on the validation rows (where that is equal by their loss, then the greater
    alpha); test figures are told for the whole curve and decide nothing. Wortsman et al. 2022, Robust fine-tuning of
    zero-shot models, eq. 1.

    Args:
        start (`str`): output folder of the run to start from, such as a linear probe: a frozen backbone with a head.
        end (`str`): output folder of a run that fine-tuned the same backbone with the same head.
        output_dir (`str`): where the kept model goes, saved like any other run's.
        alphas (`Sequence[float]`): what to try, each from 0 (`start`) to 1 (`end`).
        second_test (`str` or `datasets.Dataset`, *optional*): further labelled rows, such as from another source, on
            which robustness shows.
        overwrite (`bool`): replace the result in `output_dir`.
        trust_remote_code (`bool`): run code that the runs' checkpoint brought.

    Returns:
        [`RunResult`]: `data["wise_ft"]` has `alpha`, `curve` and what was averaged.

    Raises:
        `UserError`: the runs' models differ, or their held-out rows; a value of `alphas` that is not allowed.
    """
    alphas, clock = _checked(alphas), Clock()
    with clock("load"):
        members = open_members([start, end], trust_remote_code)
    with claimed(output_dir, overwrite) as folder:
        with clock("load"):
            place = Workplace(members, members[1], second_test, anywhere=True)
        with clock("average"):
            curve, kept, renewed = _follow(place, [member.state() for member in members], alphas)
        account = _account(members, curve, kept, renewed, source_name(second_test))
        result = publish_average(folder, place, members[1], account, clock)
    told = result.data["wise_ft"]
    print(f"{align(curve_rows(curve, told['metric']))}\n\nkept: alpha {kept:g}\n\n{result.table()}")
    return result


def _follow(place: Workplace, states: Sequence, alphas: Sequence[float]) -> tuple[list[dict], float, dict | None]:
    """Measure every alpha, and leave the best one in `place`.

    Returns:
        The curve, the best alpha, and what was done to BatchNorm between the ends.
    """

    def put(alpha: float) -> None:
        place.put(interpolate(*states, alpha), states[alpha > 0])

    curve, renewed = [], None
    for alpha in alphas:
        put(alpha)
        renewed = renewed or place.renewed
        curve.append({"alpha": alpha, **place.scores()})
    kept = max(curve, key=lambda one: (*rank(one["validation"], place.problem_type), one["alpha"]))["alpha"]
    put(kept)
    return curve, kept, renewed


def _account(members, curve: list[dict], kept: float, renewed: dict | None, second_test: str | None) -> Account:
    start, end = (member.name for member in members)
    metric = HEADLINE[members[1].result.problem_type][0]
    told = {
        "start": start,
        "end": end,
        "alpha": kept,
        "metric": metric,
        "second_test": second_test,
        "batchnorm": renewed,
        "curve": curve,
    }
    about = (
        f"The weights are {1 - kept:.4g} times those of `{start}` plus {kept:g} times those of `{end}` (WiSE-FT, "
        f"Wortsman et al. 2022). Alpha was chosen by {title(metric)} on the validation rows. recipe.json is the one "
        f"that `{end}` was trained by.\n\n"
        f"{markdown.table(curve_rows(curve, metric))}\n\n![{title(metric)} over alpha]({PICTURE})"
    )

    def draw(folder: Path) -> dict:
        draw_curve(curve, metric, kept, folder / PICTURE)
        return {"wise_ft": {"file": PICTURE}}

    return Account(
        results={"wise_ft": told},
        line=f"weights: {1 - kept:.4g} x {start} + {kept:g} x {end} (WiSE-FT)",
        about=about,
        seed=members[kept > 0].result.data.get("seed"),  # of the training that moved the weights
        draw=draw,
    )


def _checked(alphas) -> tuple[float, ...]:
    values = tuple(alphas) if isinstance(alphas, Sequence) and not isinstance(alphas, str) else ()
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= 1 for one in values)
    if not values or not numbers:
        raise UserError(f"alphas is {alphas!r}; allowed: one or more numbers from 0 to 1")
    return tuple(sorted({float(one) for one in values}))
