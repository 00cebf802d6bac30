"""The methods that train with a term: from the net that learnt from the source on, a new layer on its recorded
features (`projection`) or the whole net a little further (`whole`)."""

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path

from harness import environment
from labels.cells import _environment, _quiet

from .pairs import PAIRS, cache

PLAIN = "source_only"  # without a term: what training longer, or a layer more, does by itself
METHODS = {
    "projection": (PLAIN, "dann", "cdan", "deep_coral", "mmd", "mcc", "entropy", "self_training"),
    "whole": (PLAIN, "dann", "mmd", "self_training"),  # those that have a recipe
}
# A layer of 256 units between features and classes, and as many steps everywhere.
PROJECTION = dict(
    learning_rate=1e-3, per_device_train_batch_size=64, max_steps=600, warmup_steps=0.1, eval_strategy="no",
    save_strategy="no",
)  # fmt: skip


def key(pair: str, reach: str, seed: int, method: str) -> str:
    """Return the name of a cell."""
    return f"{pair}/{reach}/{seed}/{method}"


def objective(method: str):
    """Return what a method minimises: the weights of the shipped recipes, or of the papers."""
    from hf_transfer import CDAN, CORAL, DANN, MCC, MMD, EntropyMinimisation, PseudoLabels, Supervised

    terms = {
        "dann": 0.1 * DANN(),
        "cdan": 0.1 * CDAN(),
        "deep_coral": CORAL(),
        "mmd": MMD(),
        "mcc": MCC(),
        "entropy": 0.1 * EntropyMinimisation(),
        "self_training": PseudoLabels(threshold=0.95),
    }
    return Supervised() if method == PLAIN else Supervised() + terms[method]


def recipe_of(pair: str, reach: str, seed: int, method: str, base: Path):
    """Return the recipe of a method; no label of the target is read, and nothing is measured on it yet."""
    from hf_transfer import FrozenFeatures, MLPHead, SourceTarget

    recipe, target = PAIRS[pair].recipe("tuned", seed), PAIRS[pair].specs(seed)[1]
    data = SourceTarget(recipe.data, target, selection="source", baseline=False)
    recipe = replace(recipe, data=data, objective=objective(method))
    if reach == "whole":
        return replace(recipe, training={**recipe.training, **PAIRS[pair].further})
    backbone = replace(recipe.backbone, checkpoint=str(base), **_unaugmented(recipe.backbone))
    return replace(recipe, backbone=backbone, head=MLPHead(), strategy=FrozenFeatures(), training=PROJECTION)


def _unaugmented(backbone) -> dict:
    return {"augmentation": "none"} if hasattr(backbone, "augmentation") else {}


def settings(pair: str, reach: str, seed: int, method: str) -> dict:
    """Return what decides a cell beside its rows: one with other settings is measured anew."""
    return {
        "base": _told(PAIRS[pair].recipe("tuned", seed)),
        **_told(recipe_of(pair, reach, seed, method, Path("base"))),
    }


def _told(recipe) -> dict:
    from hf_transfer.recipe_json import recipe_to_dict

    content = recipe_to_dict(recipe)
    content["backbone"]["checkpoint"] = Path(content["backbone"]["checkpoint"]).name
    return {name: content[name] for name in ("backbone", "head", "strategy", "objective", "training")}


def measure(pair: str, reach: str, seed: int, methods: Sequence[str], keep: Callable[[str, dict], None]) -> None:
    """Go on from the net that learnt from the source with each method; no target row has a label to be read.

    The last weights are taken: no epoch is chosen.

    Args:
        keep: told the method and its figures as soon as they are there: `test` (the verdict's figures, against the
            net that learnt from the source), `criteria` (of target rows without labels), `train_s`, `run_s` and
            `settings`.
    """
    from hf_transfer import load, run
    from hf_transfer.data import labels_of, load_data

    base, spec = net(pair, seed), PAIRS[pair].specs(seed)[1]
    with tempfile.TemporaryDirectory() as place, _environment(HF_TRANSFER_CACHE=f"{place}/cache"):
        with _shown_on_failure():
            source = load(str(base))
            names = [source.model.config.id2label[number] for number in range(source.model.config.num_labels)]
            target = load_data(spec, label_order=names, progress=False)
            rows, tested = target.train.remove_columns("label"), target.test.remove_columns("label")
            judged = partial(_figures, source.logits(tested), rows, tested, labels_of(target.test))
        for method in methods:
            start = time.perf_counter()
            recipe = _with_rows(recipe_of(pair, reach, seed, method, base), rows, target.test, names)
            with _shown_on_failure():
                result = run(
                    recipe, f"{place}/{method}", name=key(pair, reach, seed, method), seed=seed, farewell=False,
                    start_from=str(base) if reach == "whole" else None,
                )  # fmt: skip
                found = judged(load(f"{place}/{method}"))
            found["train_s"] = round(result.data["timing"]["train_s"], 1)
            found["run_s"] = round(time.perf_counter() - start, 1)
            found["settings"] = settings(pair, reach, seed, method)
            found["device_name"] = environment()["device_name"]
            keep(method, found)


def net(pair: str, seed: int) -> Path:
    """Return the folder of the net that learnt from the source, in a cache: every method goes on from it."""
    from hf_transfer import run

    recipe = PAIRS[pair].recipe("tuned", seed)
    digest = blake2b(json.dumps(_told(recipe), sort_keys=True).encode(), digest_size=4).hexdigest()
    folder = cache() / "nets" / f"{pair}-{seed}-{digest}"
    if not (folder / "results.json").exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        with _shown_on_failure():
            run(recipe, folder, name=f"{pair}/base/{seed}", seed=seed, farewell=False)
    return folder


def _with_rows(recipe, rows, tested, names):
    """The recipe with the rows of the cheap methods: those to learn from without labels, test labels as words."""
    words = [names[label] for label in tested["label"]]
    tested = tested.remove_columns("label").add_column("label", words)
    return replace(recipe, data=replace(recipe.data, target=replace(recipe.data.target, train=rows), test=tested))


def _figures(base, rows, tested, truth, predictor) -> dict:
    from hf_transfer.adaptation.criteria import certainty, mutual_information
    from hf_transfer.adaptation.verdict import judge

    judged = judge(predictor.logits(tested), base, truth)
    del judged["text"]
    said = predictor.logits(rows)
    return {"test": judged, "criteria": {"mutual_information": mutual_information(said), "certainty": certainty(said)}}


@contextlib.contextmanager
def _shown_on_failure():
    with _quiet() as said:
        try:
            yield
        except Exception:
            said.show = True
            raise
