"""Every strategy on every kind of net: saved and loaded again, stopped and resumed, on one rank and on two.

The default tier takes one row (full fine-tuning on every net) and one column (every strategy on a BERT).
"""

import json

import pytest
import torch
from matrix import CASES, EPOCHS, ITS_OWN_ROWS, STEPS_PER_EPOCH, Ground, batch_of, train, watched
from ranks import ROOT, launched
from safetensors.torch import load_file

from hf_transfer.runner import Interrupted
from hf_transfer.saved import load_saved_model
from hf_transfer.saving import save_model

# Of a weight: sums over the ranks in another order. Few-shot training comes nearest to it, by 8e-6 on BERT, whose one
# row of token type embeddings adds up all tokens; in float64 that is 2e-14.
LIMIT = 2e-5


def tiered(name: str, architecture: str):
    """Beside one row and one column, everything is of the slow tier."""
    marks = () if name == "full" or architecture == "bert" else (pytest.mark.slow,)
    return pytest.param(name, architecture, id=f"{name}-{architecture}", marks=marks)


@pytest.fixture(scope="module")
def ground(tmp_path_factory) -> Ground:
    return Ground(tmp_path_factory.mktemp("matrix")).make()


@pytest.mark.parametrize(("name", "architecture"), [tiered(*case) for case in CASES])
def test_a_stopped_run_ends_as_the_unbroken_one_and_what_is_saved_is_what_was_trained(
    name, architecture, ground, tmp_path
):
    recipe = ground.recipe(name, architecture)
    with watched() as taken:
        model, opened = train(recipe, tmp_path / "whole")
    steps = taken[0]
    assert steps == EPOCHS * STEPS_PER_EPOCH or name == "contrastive"

    (tmp_path / "saved").mkdir()
    save_model(model, opened.processor, opened.resolved, tmp_path / "saved")
    again, batch = load_saved_model(tmp_path / "saved", recipe.backbone.modality), batch_of(opened)
    with torch.no_grad():
        torch.testing.assert_close(again(**batch).logits, model.eval()(**batch).logits, atol=1e-5, rtol=1e-5)

    stop_at = steps if name == "contrastive" else STEPS_PER_EPOCH  # a border: of stages, or of epochs
    with watched(stop_at=stop_at), pytest.raises(Interrupted):
        train(recipe, tmp_path / "broken")
    with watched() as rest:
        resumed, _ = train(recipe, tmp_path / "broken", resume=True)
    assert rest[0] == steps - stop_at
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key


def check_two_ranks(ground: Ground, cases, tmp_path) -> None:
    launched(2, ROOT / "tests/helpers/matrix.py", ground.folder, json.dumps(cases), timeout=1500)
    told, wrong = json.loads((ground.folder / "told.json").read_text()), []
    for name, architecture in cases:
        key = f"{name}-{architecture}"
        epochs, end = told[key]["epochs"], told[key]["end"]
        assert epochs, key
        wrong += [f"{key}, epoch {number}: {names[:3]}" for number, names in enumerate(epochs, 1) if names]
        wrong += [f"{key}, at the end: {end[:3]}"] if end else []
        if (name, architecture) in ITS_OWN_ROWS:
            continue
        one, _ = train(ground.recipe(name, architecture), tmp_path / key)
        two = load_file(ground.folder / f"{key}.safetensors")
        for part, tensor in one.state_dict().items():
            apart = (tensor.float() - two[part].float()).abs().max().item()
            wrong += [f"{key}: {part} is {apart:.1e} from one rank's"] if apart > LIMIT else []
    assert not wrong, "\n".join(wrong)


@pytest.mark.distributed
@pytest.mark.slow
def test_two_ranks_stay_together_and_are_one(ground, tmp_path):
    check_two_ranks(ground, CASES, tmp_path)
