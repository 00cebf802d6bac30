"""One recipe under several training seeds: with few labels a single run says little.

The rows and their splits stay; what differs is what the seed draws: a new head's weights, the order of the rows,
dropout. Features of a frozen backbone are recorded once for all of them.
"""

import os
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import folders
from .arguments import DEFAULTS
from .card import markdown
from .card.paragraph import with_paragraph
from .errors import UserError
from .pretraining.checks import pretrains
from .processes import shared_state
from .ranking import rank
from .recipe import Recipe
from .recipe_json import recipe_to_dict
from .results import RunResult, align, number, title
from .resume import remember
from .runner import Interrupted, run
from .stages import with_overrides

FOLDER = "seeds"  # below checkpoints/ while they are trained, below the output folder when all are kept
# What a seed's own results.json says of its folder, which goes away.
_OF_THE_FOLDER = ("recipe", "files", "pictures")


def run_seeds(
    recipe: Recipe,
    output_dir: str | os.PathLike,
    count: int,
    *,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    keep_all: bool = False,
    **settings,
) -> RunResult:
    """Run a recipe `count` times, with the seeds seed, seed + 1, ..., and keep the model that is best on validation.

    Args:
        recipe (`Recipe`): its `data.split_seed` stays, so that all runs are measured on the same rows.
        output_dir (`str`): where the kept model goes.
        count (`int`): number of runs.
        name (`str`, *optional*): the recipe's name.
        resume (`bool`): go on with what was stopped; seeds that are done are not done again, and `count` may differ.
        overwrite (`bool`): replace the result in `output_dir`.
        keep_all (`bool`): leave every seed's whole result in `output_dir/seeds/seed-N`.
        settings: further arguments of [`run`], such as `dtype`, and fields of `TrainingArguments`.

    Returns:
        [`RunResult`]: the kept run's, with `data["seeds"]`: `kept`, the `seed` of the model; `summary`, by split and
        metric `mean`, `std` (of the sample, with count - 1), `min` and `max`; `runs`, every seed's results.json.

    Raises:
        `UserError`: as [`run`]; `count` or the seed is out of range.
        `Interrupted`: Ctrl-C; what is done stays.
    """
    if not hasattr(recipe, "data") or pretrains(recipe):
        what = "pretraining has no test score that" if hasattr(recipe, "data") else "a pipeline has several models;"
        raise UserError(f"--seeds keeps the best of several classifiers; {what} it could choose by: leave --seeds out")
    recipe, settings = _settle(recipe, settings)
    seeds = _seeds(recipe, count)
    state, folder = shared_state(recipe.training.get("use_cpu", False)), Path(output_dir)
    work = folder / folders.CHECKPOINTS / FOLDER
    if state.is_main_process:
        _check_place(folder, keep_all)
        folders.claim(folder, resume, overwrite)
        remember(folder / folders.CHECKPOINTS, recipe_to_dict(recipe), resume)
    state.wait_for_everyone()
    try:
        results = [_one(recipe, work, seed, number, seeds, name, settings, state) for number, seed in enumerate(seeds)]
        if state.is_main_process:
            result = _publish(folder, results, seeds, keep_all, name)
            print(f"\n{align(summary_rows(result))}\n\nkept: seed {result.data['seeds']['kept']}, in {folder}")
        state.wait_for_everyone()
    except KeyboardInterrupt as stop:
        if not _resumable(work):
            raise
        done = sum(_finished(work / f"seed-{seed}") for seed in seeds)
        raise Interrupted(
            f"stopped; {done} of {count} seeds are done. To go on, give the same command with "
            f"--output_dir {folder} --resume"
        ) from stop
    finally:
        if state.is_main_process:
            _tidy(folder, work)
    return RunResult.load(folder)


def _settle(recipe: Recipe, settings: Mapping[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """Move fields of `TrainingArguments` into the recipe; what is left are arguments of `run` itself."""
    import inspect

    own = {name for name, one in inspect.signature(run).parameters.items() if one.kind is one.KEYWORD_ONLY}
    training = {key: value for key, value in settings.items() if key not in own}
    return with_overrides(recipe, training), {key: value for key, value in settings.items() if key in own}


def _seeds(recipe: Recipe, count: int) -> range:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UserError(f"seeds is {count!r}; allowed: a number of runs, 1 or more")
    first = recipe.training.get("seed", DEFAULTS["seed"])
    if not isinstance(first, int) or isinstance(first, bool) or not 0 <= first <= 2**32 - count:
        raise UserError(f"training arguments: seed is {first!r}; allowed: 0 to {2**32 - count} for {count} seeds")
    return range(first, first + count)


def _check_place(folder: Path, keep_all: bool) -> None:
    if keep_all and (folder / FOLDER).exists() and not _kept_before(folder):
        raise UserError(f"--keep_all writes to {folder / FOLDER}, which exists and is no run's; move it elsewhere")


def _kept_before(folder: Path) -> bool:
    """Whether `seeds/` was left there by an earlier call."""
    try:
        return bool((RunResult.load(folder).data.get("seeds") or {}).get("all_kept"))
    except UserError:
        return False


def _one(recipe, work: Path, seed: int, place: int, seeds: range, name, settings, state) -> RunResult:
    """Return the result of one seed, from its folder when it was done before."""
    folder = work / f"seed-{seed}"
    say = print if state.is_main_process else (lambda *_: None)
    told = f"seed {seed} ({place + 1} of {len(seeds)})"
    if _finished(folder):
        say(f"{told}: done before")
        return RunResult.load(folder)
    say(told)
    started = (folder / folders.CHECKPOINTS).exists()
    state.wait_for_everyone()  # every rank has looked before the main process changes what is there
    return run(recipe, folder, name=name, resume=started, overwrite=not started, seed=seed, farewell=False, **settings)


def _finished(folder: Path) -> bool:
    return (folder / "results.json").exists() and not (folder / folders.STAGING).exists()


def _resumable(work: Path) -> bool:
    return any(_finished(folder) or folders.resumable(folder) for folder in work.glob("seed-*"))


def _publish(folder: Path, results: Sequence[RunResult], seeds: range, keep_all: bool, name) -> RunResult:
    """Put the best run into the output folder, with what all of them measured."""
    kind, kept_before = results[0].problem_type, _kept_before(folder)
    if len({one.data["data"]["fingerprint"] for one in results}) > 1:
        raise UserError(
            "the data changed between the seeds, whose figures cannot be compared; start anew: --overwrite"
        )
    place = max(range(len(results)), key=lambda number: rank(results[number].metrics["validation"], kind))
    best, staging = results[place], folders.staging(folder)
    for file in best.data["files"]:
        (staging / file).parent.mkdir(exist_ok=True)  # parts of a fused model have folders of their own
        shutil.copy2(best.output_dir / file, staging / file)
    result = RunResult(staging, name, best.recipe, dict(best.data))
    result.data["seeds"] = {
        "kept": seeds[place],
        "all_kept": keep_all,
        "summary": summarise([one.metrics for one in results]),
        "runs": [{key: value for key, value in one.data.items() if key not in _OF_THE_FOLDER} for one in results],
    }
    result.save()
    card = (staging / "README.md").read_text(encoding="utf-8")
    (staging / "README.md").write_text(with_paragraph(card, _about(result)), encoding="utf-8")
    # Moved only once the result is in its place: whoever is killed in between can still resume.
    folders.publish(folder, keep_checkpoints=keep_all)
    if kept_before:
        shutil.rmtree(folder / FOLDER)
    if keep_all:
        os.replace(best.output_dir.parent, folder / FOLDER)
    result.output_dir = folder
    return result


def summarise(metrics: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Summarise what several runs measured.

    Args:
        metrics (`Sequence[Mapping]`): of each run, by split and name.

    Returns:
        `dict`: by split and name `mean`, `std`, the standard deviation of the sample (its square is the sum of squared
        deviations / (runs - 1)), `min` and `max`; a metric that some run could not measure is left out.
    """
    return {
        split: {
            name: _spread([one[split][name] for one in metrics])
            for name in metrics[0][split]
            if all(one[split].get(name) is not None for one in metrics)
        }
        for split in metrics[0]
    }


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "min": min(values), "max": max(values)}


def summary_rows(result: RunResult) -> list[list[str]]:
    """Return what the seeds gave as text, a row of titles first."""
    seeds = result.data["seeds"]
    rows = [[f"{len(seeds['runs'])} seeds", "mean", "std", "smallest", "largest", "kept"]]
    for split, values in seeds["summary"].items():
        for name in (result.headline["name"], *result.metric_columns()):
            if name in values:
                spread = [number(values[name][key]) for key in ("mean", "std", "min", "max")]
                rows.append([f"{split} {title(name)}", *spread, number(result.metrics[split].get(name))])
    return rows


def _about(result: RunResult) -> str:
    seeds, metric = result.data["seeds"], title(result.headline["name"])
    return (
        f"Trained {len(seeds['runs'])} times on the same rows with other training seeds; this is seed "
        f"{seeds['kept']}, the best on the validation rows by {metric}. What to expect of the recipe is the mean over "
        f"the seeds, not the kept run.\n\n{markdown.table(summary_rows(result))}"
    )


def _tidy(folder: Path, work: Path) -> None:
    """Leave nothing half done behind; seeds that are done, or a checkpoint to go on from, stay."""
    shutil.rmtree(folder / folders.STAGING, ignore_errors=True)
    if not _resumable(work):
        shutil.rmtree(folder / folders.CHECKPOINTS, ignore_errors=True)
        folders.give_back(folder)
