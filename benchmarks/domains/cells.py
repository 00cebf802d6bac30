"""One cell: learn from one source with one net, and try the cheap methods on its features; and the file of cells."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import environment, write_results
from labels.cells import _environment, _quiet

from .features import features
from .pairs import PAIRS

RESULTS = Path(__file__).resolve().parents[1] / "results" / "adaptation.json"
LABELLED = 10  # target rows of each class whose labels TrAdaBoost may read
AS_TRAINED = "as_trained"


def key(pair: str, net: str, seed: int) -> str:
    """Return the name of a cell."""
    return f"{pair}/{net}/{seed}"


def settings(pair: str, net: str, seed: int) -> dict:
    """Return what decides a cell beside its rows: one with other settings is measured anew."""
    from hf_transfer.adaptation.cheap import METHODS
    from hf_transfer.recipe_json import recipe_to_dict

    content = recipe_to_dict(PAIRS[pair].recipe(net, seed))
    content["backbone"]["checkpoint"] = Path(content["backbone"]["checkpoint"]).name
    kept = {name: content[name] for name in ("backbone", "head", "strategy", "objective", "training")}
    return {**kept, "methods": list(METHODS), "labelled": LABELLED}


def measure(pair: str, net: str, seed: int, methods=None) -> dict:
    """Learn from the source and try all methods.

    Labels of the target's train rows are read by target-only, and 10 of each class by TrAdaBoost; those of its test
    rows by the figures alone.

    Returns:
        `dict`: by method `test` (the verdict's figures, against the model as it was trained on the source, which is
        there too), `criteria` and `seconds`; `source`, the source's own test accuracy; `a_distance` by space; `rows`;
        `learn_s`, `extract_s`, `cheap_s`.
    """
    from hf_transfer import run
    from hf_transfer.adaptation.cheap import WITH_LABELS, WITHOUT_LABELS, try_methods
    from hf_transfer.adaptation.trying import distances
    from hf_transfer.adaptation.verdict import judge
    from hf_transfer.data import load_data

    recipe, spec = PAIRS[pair].recipe(net, seed), PAIRS[pair].specs(seed)[1]
    with tempfile.TemporaryDirectory() as folder, _environment(HF_TRANSFER_CACHE=f"{folder}/cache"), _quiet() as said:
        try:
            start = time.perf_counter()
            result = run(recipe, f"{folder}/out", name=key(pair, net, seed), seed=seed, farewell=False)
            learnt = time.perf_counter()
            names = result.data["labels"]
            source, target = (load_data(one, label_order=names, progress=False) for one in (recipe.data, spec))
            parts = (source.train, source.validation, target.train, target.test)
            own, ((x, y), (v, vy), (t, ty), (test, truth)) = features(f"{folder}/out", parts)
            extracted = time.perf_counter()
            wanted = methods or (*WITHOUT_LABELS, "target_only")
            tried = try_methods(x, y, v, vy, t, ty, [name for name in wanted if name != "tradaboost"])
            if "tradaboost" in (methods or WITH_LABELS):
                tried += try_methods(x, y, v, vy, t, some_labels(ty, LABELLED, seed), ["tradaboost"])
            cheap = time.perf_counter()
        except Exception:
            said.show = True
            raise
    judged = {one.name: judge(one.logits(test), own(test), truth) for one in tried}
    judged[AS_TRAINED] = judge(own(test), own(test), truth)
    for one in judged.values():
        del one["text"]
    return {
        "test": judged,
        "criteria": {one.name: one.criteria for one in tried},
        "seconds": {one.name: round(one.seconds, 2) for one in tried},
        "effective_sample_size": {
            one.name: round(one.about["effective_sample_size"], 1)
            for one in tried
            if "effective_sample_size" in one.about
        },
        "source": result.metrics["test"]["accuracy"],
        "a_distance": {space: round(apart, 4) for space, apart in distances(x, t).items()},
        "rows": {"source": len(x), "target": len(t), "test": len(test), "width": x.shape[1]},
        "learn_s": round(learnt - start, 1),
        "extract_s": round(extracted - learnt, 1),
        "cheap_s": round(cheap - extracted, 1),
        "settings": settings(pair, net, seed),
        "device_name": environment()["device_name"],
    }


def some_labels(labels, count: int, seed: int) -> np.ndarray:
    """Return the labels of `count` drawn rows of each class, and -1 for the others."""
    kept = np.full(len(labels), -1)
    for label in np.unique(labels):
        members = np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))[:count]
        kept[members] = label
    return kept


def read(path: Path = RESULTS) -> dict:
    """Return the content of the results file; an empty one where there is none yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"cells": {}}


def write(content: dict, path: Path = RESULTS) -> None:
    """Write the results file; whole or not at all."""
    write_results(path, content)
