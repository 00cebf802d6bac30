"""Model soups: the mean of several fine-tuned models' weights."""

import os
from collections.abc import Sequence

from ..card import markdown
from ..clock import Clock
from ..errors import UserError
from ..metrics import HEADLINE
from ..ranking import rank
from ..results import RunResult, align, number, title
from .averaging import Mean
from .members import Member, open_members
from .publishing import Account, claimed, publish_average
from .workplace import Workplace

METHODS = ("uniform", "greedy")


def soup(
    folders: Sequence[str | os.PathLike],
    output_dir: str | os.PathLike,
    method: str = "uniform",
    *,
    overwrite: bool = False,
    trust_remote_code: bool = False,
) -> RunResult:
    """Average the weights of several runs that started from the same checkpoint.

    Wortsman et al. 2022, Model soups: averaging weights of multiple fine-tuned models improves accuracy without
    increasing inference time; "greedy" is its recipe 1.

    Args:
        folders (`Sequence[str]`): output folders, two or more.
        output_dir (`str`): where the averaged model goes, saved like any other run's.
        method (`str`): "uniform" takes the mean of all; "greedy" takes them in order of their headline metric on the
            validation rows, and keeps each one with which the mean is not worse there.
        overwrite (`bool`): replace the result in `output_dir`.
        trust_remote_code (`bool`): run code that the runs' checkpoint brought.

    Returns:
        [`RunResult`]: `data["soup"]` has `method` and `members`, each with its metrics and whether it was `kept`.

    Raises:
        `UserError`: the runs' models differ, or their held-out rows; a method that is not known.
    """
    if method not in METHODS:
        raise UserError(f"method is {method!r}; allowed: {', '.join(METHODS)}")
    if isinstance(folders, str | os.PathLike):
        raise UserError("a soup takes a list of folders, the output folders of two finished runs or more")
    clock = Clock()
    with clock("load"):
        members = open_members(folders, trust_remote_code)
        # The best first; of equals in the order given.
        members.sort(key=lambda one: rank(one.validation, one.result.problem_type), reverse=True)
    with claimed(output_dir, overwrite) as folder:
        with clock("load"):
            place = Workplace(members, members[0])
        with clock("average"):
            tried = _greedy(place, members) if method == "greedy" else _uniform(place, members)
        account = _account(members, tried, method, place)
        result = publish_average(folder, place, members[0], account, clock)
    told = result.data["soup"]
    print(f"{align(_rows(told))}\n\n{result.table()}")
    return result


def _uniform(place: Workplace, ordered: Sequence[Member]) -> dict[str, dict]:
    first = ordered[0].state()
    mean = Mean(first)
    for member in ordered[1:]:
        mean = mean.plus(member.state())
    place.put(mean.state(), first)
    return {member.name: {"kept": True} for member in ordered}


def _greedy(place: Workplace, ordered: Sequence[Member]) -> dict[str, dict]:
    """Return by name, in the order of trial, whether each was kept and how good the mean was with it."""
    (name, higher_is_better), first = HEADLINE[place.problem_type], ordered[0].state()
    mean = Mean(first)
    place.put(first, first)
    best = place.scores("validation")["validation"][name]
    tried = {ordered[0].name: {"kept": True, "with_it": best}}
    for member in ordered[1:]:
        candidate = mean.plus(member.state())
        place.put(candidate.state(), first)
        value = place.scores("validation")["validation"][name]
        kept = value >= best if higher_is_better else value <= best
        tried[member.name] = {"kept": kept, "with_it": value}
        if kept:
            mean, best = candidate, value
    place.put(mean.state(), first)
    return tried


def _account(members: Sequence[Member], tried: dict[str, dict], method: str, place: Workplace) -> Account:
    kept = [member for member in members if tried[member.name]["kept"]]
    told = {
        "method": method,
        "metric": HEADLINE[place.problem_type][0],
        "batchnorm": place.renewed,
        "members": [
            {
                "name": member.name,
                "seed": member.result.data.get("seed"),
                **tried[member.name],
                "validation": member.result.metrics["validation"],
                "test": member.result.metrics["test"],
            }
            for member in members
        ],
    }
    seeds = {member.result.data.get("seed") for member in kept}
    return Account(
        results={"soup": told},
        line=f"weights: the mean of {', '.join(member.name for member in kept)} ({method} soup of {len(members)})",
        about=(
            f"The weights are the mean of those of {len(kept)} of {len(members)} runs, a {method} soup (Wortsman et "
            f"al. 2022). recipe.json is the one that `{members[0].name}`, the best of them, was trained by.\n\n"
            f"{markdown.table(_rows(told))}"
        ),
        seed=seeds.pop() if len(seeds) == 1 else None,
    )


def _rows(told: dict) -> list[list[str]]:
    """The members as text, a row of titles first."""
    metric, greedy = told["metric"], told["method"] == "greedy"
    name = title(metric)
    rows = [["run", f"validation {name}", f"test {name}", *(["mean with it, validation", "kept"] if greedy else [])]]
    for one in told["members"]:
        more = [number(one["with_it"]), "yes" if one["kept"] else "no"] if greedy else []
        rows.append([one["name"], *(number(one[split].get(metric)) for split in ("validation", "test")), *more])
    return rows
