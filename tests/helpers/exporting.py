"""Small runs to export, and onnxruntime's answers beside PyTorch's."""

from pathlib import Path

import numpy as np
import torch
from mini import make_texts

from hf_transfer import (
    FrozenFeatures,
    FullFineTune,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    NativeHead,
    Recipe,
    TextBackbone,
    TextClassification,
    cli,
    load,
    run,
)

LONG = " ".join(text for text, _ in make_texts(20))
TEXTS = ["film", "great film", LONG, "a", LONG[:60], "the sad end of it", "dull plot"]


def train_texts(folder, checkpoint, source, head, data=None, **backbone) -> Path:
    recipe = Recipe(
        summary="texts",
        data=TextClassification(str(source), **(data or {"label": "stars"})),
        backbone=TextBackbone(str(checkpoint), **{"max_length": 32, **backbone}),
        head=head,
        strategy=FullFineTune() if isinstance(head, NativeHead) else FrozenFeatures(),
    )
    run(recipe, folder, max_steps=2, learning_rate=0.05)
    return folder


def train_images(folder, checkpoint, source, head, **backbone) -> Path:
    recipe = Recipe(
        summary="images",
        data=ImageClassification(str(source)),
        backbone=ImageBackbone(str(checkpoint), **{"image_size": 64, **backbone}),
        head=head,
        strategy=FullFineTune() if isinstance(head, NativeHead) else FrozenFeatures(),
    )
    # A linear layer is solved for; the others take two steps, large enough that the answers differ.
    steps = {} if isinstance(head, LinearHead) else {"max_steps": 2, "learning_rate": 0.01}
    run(recipe, folder, per_device_train_batch_size=4, **steps)
    return folder


def command(capfd, *words) -> tuple[int, str, str]:
    capfd.readouterr()
    code = cli.main([str(word) for word in words])
    out, err = capfd.readouterr()
    return code, out, err


def execute(code: str) -> dict:
    names = {}
    exec(compile(code, "printed by export", "exec"), names)
    return names


def onnx_logits(folder: Path, batch: dict) -> np.ndarray:
    from onnxruntime import InferenceSession

    session = InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {name: values.numpy() for name, values in batch.items()})[0]


def compare_with_rows_alone(run_folder: Path, onnx_folder: Path, inputs: list) -> None:
    """onnxruntime on all inputs in one padded batch, against PyTorch on each alone, without padding."""
    from hf_transfer.inputs import encode

    model = load(run_folder)
    rows = model._rows(inputs)
    encoded = encode(model.backbone, model.processor, rows)
    together = onnx_logits(onnx_folder, model.collate([encoded[number] for number in range(len(rows))]))
    alone = np.concatenate([model.logits(rows.select([number])) for number in range(len(rows))])
    # Small against what tells the inputs apart: where they all get one answer, agreement would prove nothing.
    assert np.abs(together - alone).max() < 0.01 * np.ptp(alone, axis=0).max()
    np.testing.assert_allclose(together, alone, atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# Images, a linear probe on a timm net


def settled(checkpoint: Path) -> Path:
    """Let a random net's BatchNorm see pictures: without, its features are the same for every one."""
    from transformers import TimmWrapperForImageClassification

    model = TimmWrapperForImageClassification.from_pretrained(checkpoint).train()
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(30):
            model(torch.randn(8, 3, 64, 64) * torch.rand(8, 1, 1, 1))
    model.save_pretrained(checkpoint)
    return checkpoint
