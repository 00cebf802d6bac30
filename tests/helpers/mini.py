"""Builders of mini checkpoints and data, the smallest that the real classes run on."""

import csv
import random
from pathlib import Path

WORDS = {
    "good": "great lovely fine happy superb warm bright charming".split(),
    "bad": "awful broken sad dull poor cold grim boring".split(),
    "filler": "the a movie film story was and with very it plot actor scene end".split(),
}


def make_texts(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return `(text, label)` pairs that a small model can learn: the label's words occur in the text."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        label = ("bad", "good")[number % 2]
        words = draw.choices(WORDS[label], k=2) + draw.choices(WORDS["filler"], k=draw.randint(2, 12))
        draw.shuffle(words)
        rows.append((" ".join(words), label))
    return rows


def write_csv(path: Path, header: list[str], rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def save_tokenizer(folder: Path) -> int:
    """Write a WordPiece tokenizer that knows the mini vocabulary; return the vocabulary's size."""
    from transformers import BertTokenizer

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *sorted({word for group in WORDS.values() for word in group}),
    ]
    BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(folder)
    return len(words)


def mini_text_checkpoint(folder: Path, architecture: str = "bert", **changes) -> Path:
    """Write a text encoder of the smallest sensible size, with random weights."""
    import torch
    from transformers import AutoConfig, AutoModel

    folder.mkdir(parents=True, exist_ok=True)
    size = save_tokenizer(folder)
    settings = dict(
        vocab_size=size, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=80, pad_token_id=0, bos_token_id=2, eos_token_id=3, sep_token_id=3, cls_token_id=2,
    )  # fmt: skip
    if architecture == "distilbert":
        settings |= dict(dim=16, hidden_dim=32, n_layers=2, n_heads=2)
    if architecture in ("electra", "albert"):
        settings |= dict(embedding_size=8)
    if architecture == "modernbert":
        settings |= dict(local_attention=8, global_attn_every_n_layers=2)
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(architecture, **{**settings, **changes})).save_pretrained(folder)
    return folder


def mini_image_checkpoint(folder: Path, architecture: str = "test_resnet", **model_args) -> Path:
    """Write a timm net with random weights as transformers stores one."""
    import timm
    import torch
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    torch.manual_seed(0)
    config = TimmWrapperConfig(
        architecture=architecture, num_labels=7, model_args=model_args or None,
        pretrained_cfg=timm.get_pretrained_cfg(architecture).to_dict(),
    )  # fmt: skip
    TimmWrapperForImageClassification(config).save_pretrained(folder)
    return folder


def write_images(folder: Path, count: int = 12, classes: tuple[str, ...] = ("dark", "light")) -> Path:
    """Write `count` small pictures per class, told apart by their brightness."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    for level, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = draw.integers(0, 60, (20, 24, 3)) + level * 180 // max(1, len(classes) - 1)
            Image.fromarray(pixels.astype("uint8")).save(folder / name / f"{number:03}.png")
    return folder


def write_text_images(folder: Path, count: int = 60) -> Path:
    """Write `rows.csv` with columns text, image (a path relative to it) and label; either tells the label."""
    write_images(folder / "photos", count // 2, ("bad", "good"))
    rows = [
        (text, f"photos/{label}/{number // 2:03}.png", label) for number, (text, label) in enumerate(make_texts(count))
    ]
    return write_csv(folder / "rows.csv", ["text", "image", "label"], rows)
