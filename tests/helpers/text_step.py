"""A mini text classifier, and one step of gradient descent on a padded batch."""

import torch
from mini import make_texts, mini_text_checkpoint
from torch import nn

from hf_transfer import NativeHead, TextBackbone
from hf_transfer.assembly import build_model
from hf_transfer.data import Labels

LABELS = Labels("single_label_classification", ("bad", "good"), None)


def built(folder, architecture: str, head=None):
    folder = mini_text_checkpoint(folder / architecture, architecture)
    backbone = TextBackbone(str(folder), max_length=32, pooling="auto" if head is None else "mean")
    tokenizer = backbone.processor()
    model = build_model(backbone, head or NativeHead(), LABELS, tokenizer).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    inputs = dict(tokenizer([text for text, _ in make_texts(9)], padding=True, return_tensors="pt"))
    if architecture in ("distilbert", "modernbert"):
        inputs.pop("token_type_ids", None)  # their own tokenizers make none
    return model, inputs


def step(model, inputs) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    logits = model(**inputs).logits
    nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 2).backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
