"""Several tasks on two ranks: the model that one process makes, learnt weights included."""

import json
from pathlib import Path

import pytest
import torch
from mini import make_texts, mini_text_checkpoint, write_csv
from ranks import RUN_RECIPE, launched
from safetensors.torch import load_file

RECIPE = '''"""Two tasks."""

from hf_transfer import L2SP, FullFineTune, LSTMHead, NativeHead, Recipe, Supervised, TaskMixture, TextBackbone
from hf_transfer import FrozenFeatures, TextClassification

TASKS = dict(mood=TextClassification({mood!r}), length=TextClassification({length!r}, problem_type="regression"))
RECIPE = Recipe(
    summary="two tasks",
    data=TaskMixture(TASKS, sampling="uniform", weights={weights!r}),
    backbone=TextBackbone({net!r}, max_length=32),
    head=dict(mood=NativeHead(), length=LSTMHead(hidden_size=8, num_layers=1, dropout=0.0)),
    strategy={strategy},
    objective={objective},
    training=dict(num_train_epochs=2, train_sampling_strategy="sequential", learning_rate=1e-3, weight_decay=0.1),
)
'''
CASES = {
    "uncertainty": dict(weights="uncertainty", strategy="FullFineTune()", objective="Supervised()"),
    "l2_sp": dict(weights=None, strategy="FullFineTune()", objective="Supervised() + 0.5 * L2SP()"),
    "frozen": dict(weights=None, strategy="FrozenFeatures()", objective="Supervised()"),
}
# A bias of the keys adds one and the same number to all scores of a query, which the softmax takes off again: the loss
# does not depend on it. Its gradient is rounding alone, which Adam divides by its own size, so that it takes whole
# steps in directions of its own (L2-SP: up to 1e-4 apart, where all others agree to 5e-8).
WITHOUT_EFFECT = "attention.self.key.bias"


def train(ranks: int, recipe: Path, folder: Path) -> tuple[dict[str, torch.Tensor], dict]:
    words = [str(recipe), "--output_dir", str(folder), "--dtype", "float32"]
    # On two ranks each step is two micro-batches as well: 8 rows either way.
    words += ["--per_device_train_batch_size", "2" if ranks > 1 else "8", "--gradient_accumulation_steps"]
    done = launched(ranks, RUN_RECIPE, *words, "2" if ranks > 1 else "1")
    assert done.stdout.count("  backbone ") == 1  # one process speaks
    return load_file(folder / "model.safetensors"), json.loads((folder / "results.json").read_text())


@pytest.mark.distributed
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_give_what_one_gives(tmp_path, case):
    net = mini_text_checkpoint(tmp_path / "mini", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    texts = make_texts(101)
    mood = write_csv(tmp_path / "mood.csv", ["text", "label"], texts)
    length = write_csv(tmp_path / "length.csv", ["text", "label"], [(t, len(t.split()) / 10) for t, _ in texts[:51]])
    recipe = tmp_path / "tasks.py"
    recipe.write_text(RECIPE.format(mood=str(mood), length=str(length), net=str(net), **CASES[case]))
    (one, told), (two, also) = (train(ranks, recipe, tmp_path / str(ranks)) for ranks in (1, 2))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        if not name.endswith(WITHOUT_EFFECT):
            torch.testing.assert_close(
                two[name], tensor, atol=1e-6, rtol=0, msg=lambda told, name=name: f"{name}: {told}"
            )
    assert also["fit"]["task_weights"] == pytest.approx(told["fit"]["task_weights"], abs=1e-6)
    # Measured with the key biases that each has, so that these do nothing else either.
    assert also["metrics"]["validation"] == pytest.approx(told["metrics"]["validation"], abs=1e-5)
