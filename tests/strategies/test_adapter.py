"""Low-rank updates saved apart: peft and transformers load them, and the logits are those of the merged model."""

import copy
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from mini import mini_image_checkpoint, mini_text_checkpoint
from safetensors.torch import load_file, save_file

from hf_transfer import (
    FrozenFeatures,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LoRA,
    NativeHead,
    Recipe,
    Stage,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
)
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels
from hf_transfer.hub_push import pushable
from hf_transfer.hub_space import prepare_space
from hf_transfer.saved import load_saved_model
from hf_transfer.saving import save_model

pytest.importorskip("peft", reason="pip install 'hf-transfer-recipes[lora]'")
LABELS = Labels("single_label_classification", ("bad", "fair", "good"), None)


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("distilbert", "roberta", "test_resnet")]


@pytest.mark.parametrize("architecture", ["bert", "test_vit", *SLOW])
def test_the_adapter_is_the_merged_model(architecture, tmp_path):
    image = architecture.startswith("test_")
    if image:
        size = 160 if "vit" in architecture else 32
        backbone = ImageBackbone(str(mini_image_checkpoint(tmp_path / "net", architecture)), image_size=size)
        batch = {"pixel_values": torch.randn(3, 3, size, size)}
    else:
        backbone = TextBackbone(str(mini_text_checkpoint(tmp_path / "net", architecture)), max_length=32)
        batch = {"input_ids": torch.randint(5, 20, (3, 9))}
    processor = backbone.processor()
    torch.manual_seed(0)
    model = build_model(backbone, NativeHead(), LABELS, processor).eval()
    strategy = LoRA(rank=2, alpha=4.0, merge=False)
    model = strategy.prepare(model, backbone.depths(model))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    apart = strategy.finish(model)
    merged = replace(strategy, merge=True).finish(copy.deepcopy(apart))
    (tmp_path / "out").mkdir()
    save_model(apart, processor, {"backbone": {"checkpoint": backbone.checkpoint, "revision": None}}, tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert all("original_module" not in name for name in load_file(tmp_path / "out" / "adapter_model.safetensors"))
    again = load_saved_model(tmp_path / "out", backbone.modality)
    assert type(again) is type(merged) and list(again.state_dict()) == list(merged.state_dict())
    torch.testing.assert_close(again(**batch).logits, merged(**batch).logits, atol=1e-5, rtol=1e-5)
    assert (again(**batch).logits - merged(**batch).logits.mean()).abs().max() > 1e-2

    # transformers' own integration, which knows nothing of ours
    from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

    auto = AutoModelForImageClassification if image else AutoModelForSequenceClassification
    config = AutoConfig.from_pretrained(tmp_path / "out")
    plain = auto.from_pretrained(backbone.checkpoint, config=config, ignore_mismatched_sizes=True)
    plain.load_adapter(str(tmp_path / "out"))
    torch.testing.assert_close(plain.eval()(**batch).logits, merged(**batch).logits, atol=1e-5, rtol=1e-5)
    assert config.id2label == {0: "bad", 1: "fair", 2: "good"}


@pytest.fixture
def recipe(mini_text, reviews) -> Recipe:
    return Recipe(
        summary="LoRA apart",
        data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(mini_text), max_length=32),
        strategy=LoRA(rank=2, merge=False),
        training=dict(max_steps=4, learning_rate=1e-2, per_device_train_batch_size=8),
    )


def test_a_run_leaves_an_adapter_that_a_stranger_loads_by_the_card(recipe, tmp_path, reviews):
    result = run(recipe, tmp_path / "out")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(result.data["files"])
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == (
        recipe.backbone.checkpoint
    )
    predictor = load(tmp_path / "out")
    assert predictor.evaluate_file(str(reviews))["accuracy"] >= 0
    with pytest.raises(UserError, match="adapter to .* that nobody else could load"):
        pushable(tmp_path / "out")
    with pytest.raises(UserError, match="the page of a Space loads whole models"):
        prepare_space(tmp_path / "out", "user/name")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "library_name: peft" in card
    code = re.search(r"```python\n(.*?from peft.*?)```", card, re.DOTALL)[1].replace("MODEL", str(tmp_path / "out"))
    guard = "import sys; sys.modules['hf_transfer'] = None\n"
    done = subprocess.run([sys.executable, "-c", guard + code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == predictor.predict(["a text"])[0].label


def test_a_head_that_is_not_there_is_told(recipe, tmp_path):
    run(recipe, tmp_path / "out")
    path = tmp_path / "out" / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if "classifier.bias" not in k}, path)
    with pytest.raises(UserError, match="missing keys: classifier.bias"):
        load(tmp_path / "out")


def test_where_updates_have_no_other_place(recipe, tmp_path, mini_image, photos):
    with pytest.raises(UserError, match="under a LinearHead the model is one of ours; use NativeHead"):
        replace(recipe, head=LinearHead())
    with pytest.raises(UserError, match="in a stage that others follow"):
        replace(recipe, strategy=(Stage(LoRA(merge=False)), Stage(FrozenFeatures())))
    with pytest.raises(UserError, match="backbone.add_tokens"):
        replace(recipe, backbone=replace(recipe.backbone, add_tokens=("[X]",)))
    with pytest.raises(UserError, match="a stage before it"):
        run(replace(recipe, strategy=(Stage(FrozenFeatures()), Stage(LoRA(merge=False)))), tmp_path / "a")
    run(replace(recipe, strategy=LoRA(rank=2)), tmp_path / "first")
    with pytest.raises(UserError, match="--start_from"):
        run(recipe, tmp_path / "b", start_from=tmp_path / "first")
    dropout = Recipe("x", ImageClassification(str(photos)), ImageBackbone(str(mini_image), image_size=64),
                     head=LinearHead(dropout=0.1), strategy=LoRA(merge=False))  # fmt: skip
    with pytest.raises(UserError, match="with this head the model is one of ours"):
        run(dropout, tmp_path / "c")
