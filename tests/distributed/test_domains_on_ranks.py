"""Two domains on two ranks: the model that one process makes, a discriminator and weights of rows included."""

import json
from pathlib import Path

import pytest
import torch
from mini import make_texts, mini_text_checkpoint, write_csv
from ranks import RUN_RECIPE, launched
from safetensors.torch import load_file

RECIPE = '''"""Two domains."""

from hf_transfer import DANN, KMM, FrozenFeatures, FullFineTune, LinearHead, Recipe, SourceTarget, Supervised
from hf_transfer import TextBackbone, TextClassification

DATA = SourceTarget(
    TextClassification({source!r}, validation={validation!r}, test={source_test!r}),
    TextClassification({target!r}),
    test={test!r},
    selection="source",
    {data}
)
RECIPE = Recipe(
    summary="two domains",
    data=DATA,
    backbone=TextBackbone({net!r}, max_length=32),
    head=LinearHead(),
    strategy={strategy},
    objective={objective},
    training={training},
)
'''
TRAINING = 'dict(num_train_epochs=2, train_sampling_strategy="sequential", learning_rate=1e-3, weight_decay=0.1)'
CASES = {
    "labels": dict(
        data="target_labels=True, target_weight=0.5",
        strategy="FullFineTune()",
        objective="Supervised()",
        training=TRAINING,
    ),
    "dann": dict(
        data="", strategy="FullFineTune()", objective="Supervised() + DANN(hidden_size=8)", training=TRAINING
    ),
    "kmm": dict(data="weights=KMM()", strategy="FrozenFeatures()", objective="Supervised()", training="{}"),
}


def train(ranks: int, recipe: Path, folder: Path, descends: bool) -> tuple[dict[str, torch.Tensor], dict]:
    words = [str(recipe), "--output_dir", str(folder), "--dtype", "float32"]
    if descends:  # on two ranks each step is two micro-batches as well: 8 rows of both domains either way
        words += ["--per_device_train_batch_size", "2" if ranks > 1 else "8", "--gradient_accumulation_steps"]
        words += ["2" if ranks > 1 else "1"]
    done = launched(ranks, RUN_RECIPE, *words, timeout=600)
    assert done.stdout.count("  backbone ") == 1  # one process speaks
    return load_file(folder / "model.safetensors"), json.loads((folder / "results.json").read_text())


@pytest.mark.distributed
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_train_as_one(case, tmp_path):
    # 48 rows to learn from in each domain: steps of four and four on either number of ranks.
    distinct = list(dict(make_texts(400)).items())
    sizes = {"source": 48, "target": 48, "validation": 16, "source_test": 16, "test": 24}
    files = {name: write_csv(tmp_path / f"{name}.csv", ["text", "label"], [distinct.pop() for _ in range(size)])
             for name, size in sizes.items()}  # fmt: skip
    net = mini_text_checkpoint(tmp_path / "net", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    recipe = tmp_path / "recipe.py"
    recipe.write_text(RECIPE.format(**{name: str(path) for name, path in files.items()}, net=str(net), **CASES[case]))
    descends = case != "kmm"
    (one, told), (two, also) = (train(ranks, recipe, tmp_path / f"on{ranks}", descends) for ranks in (1, 2))
    assert one.keys() == two.keys() and told["data"]["train"] == also["data"]["train"] == 48
    for name, tensor in one.items():
        # The true gradient of an attention key's bias is 0; what is left is rounding, which Adam takes for a way.
        if not name.endswith("key.bias"):
            assert torch.allclose(tensor, two[name], atol=5e-5), name
    scores = [found["domains"]["scores"]["model"]["target"]["loss"] for found in (told, also)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert set(told["domains"]["scores"]) == set(also["domains"]["scores"]) >= {"model", "source_only"}
