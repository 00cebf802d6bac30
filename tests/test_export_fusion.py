"""ONNX of the heads and layer mixes: onnxruntime's answers are PyTorch's, checked by the export itself at other sizes
than those it was traced with."""

import pytest
from mini import mini_image_checkpoint, mini_text_checkpoint

from hf_transfer import (
    AttentionHead,
    FrozenFeatures,
    GRUHead,
    ImageBackbone,
    ImageClassification,
    LayerFusion,
    LinearHead,
    MLPHead,
    Recipe,
    TextBackbone,
    TextClassification,
    run,
)
from hf_transfer.export import export_onnx

TEXTS = {
    "gru": (GRUHead(4, 2), {}),
    "attention": (AttentionHead(2), {}),
    "mix": (LinearHead(), {"fusion": LayerFusion()}),
    "mean": (GRUHead(4, 1), {"fusion": LayerFusion("mean", (0, 1))}),
    "max of a mix": (LinearHead(), {"fusion": LayerFusion(), "pooling": "max"}),
}
IMAGES = {
    "attention over positions": ("test_resnet", AttentionHead(2), {}),
    "stages": ("test_resnet", MLPHead((4,)), {"fusion": LayerFusion()}),
    "blocks": ("test_vit", LinearHead(), {"fusion": LayerFusion(), "image_size": None}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TEXTS)
def test_texts(case, reviews, tmp_path):
    head, backbone = TEXTS[case]
    net = mini_text_checkpoint(tmp_path / "net", initializer_range=0.3)
    data = TextClassification(str(reviews), label="stars")
    spec = TextBackbone(str(net), max_length=32, **backbone)
    recipe = Recipe(summary=case, data=data, backbone=spec, head=head, strategy=FrozenFeatures())
    run(recipe, tmp_path / "out", max_steps=2, learning_rate=0.05)
    assert export_onnx(tmp_path / "out").difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("case", IMAGES)
def test_images(case, photos, tmp_path):
    architecture, head, backbone = IMAGES[case]
    net = mini_image_checkpoint(tmp_path / "net", architecture)
    spec = ImageBackbone(str(net), **{"image_size": 64, **backbone})
    recipe = Recipe(
        summary=case, data=ImageClassification(str(photos)), backbone=spec, head=head, strategy=FrozenFeatures()
    )
    run(recipe, tmp_path / "out", max_steps=2, learning_rate=0.05, per_device_train_batch_size=4)
    assert export_onnx(tmp_path / "out").difference < 1e-4
