"""The classifier that a checkpoint was pretrained with, kept beside the new head: what Co-Tuning trains as well."""

import copy

import torch
from torch import nn

from .backbones.checkpoint import quiet, reach
from .backbones.image import channels_of
from .errors import UserError
from .heads import LinearHead, NativeHead
from .inference import predict_logits
from .objectives.terms import Seen, Source
from .replay import TextReplay
from .taps import last_layer


def load_source(model, recipe, rows, labels, collate) -> Source:
    """Load a checkpoint's own classifier and ask it about the rows in training.

    Args:
        model (`nn.Module`): the model in training, whose outputs the source head will read.
        recipe (`Recipe`): its backbone names the checkpoint.
        rows (`datasets.Dataset`): encoded training rows, without augmentation.
        labels (`Sequence[int]`): their target class ids.
        collate: makes batches of them.

    Raises:
        `UserError`: the checkpoint has no classifier, or the recipe's head does not read what that one reads.
    """
    backbone = recipe.backbone
    pretrained = _load(backbone).to(next(model.parameters()).device)
    build = _ImageSource if backbone.modality == "image" else _TextSource
    head = build(pretrained, model, recipe)
    logits = torch.from_numpy(predict_logits(pretrained, rows, collate))
    return Source(head, logits, torch.tensor(list(labels)))


def _load(backbone):
    """Load the checkpoint as the classifier it was pretrained as."""
    from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification

    image = backbone.modality == "image"
    if image and backbone.in_chans != channels_of(backbone.stored_config()):
        raise UserError("CoTuning asks the untouched checkpoint about each image; leave backbone.in_chans out")
    auto = AutoModelForImageClassification if image else AutoModelForSequenceClassification
    # A timm net's settings of size and channels are the recipe's; a text classifier's number of classes is its own.
    config = {"config": backbone.load_config()} if image else {}
    with reach(backbone.checkpoint, "weights"), quiet():
        model, info = auto.from_pretrained(
            backbone.checkpoint, revision=backbone.revision, dtype="float32", output_loading_info=True, **config
        )
    absent = sorted([*info["missing_keys"], *(one[0] for one in info["mismatched_keys"])])
    if absent or not hasattr(model, "timm_model" if image else "base_model"):
        what = absent[0] if absent else "a stock classifier"
        raise UserError(
            f"CoTuning keeps the classifier that a checkpoint was pretrained with, and {backbone.checkpoint!r} has "
            f"none: it lacks {what!r}"
        )
    return model.eval()


class _ImageSource(nn.Module):
    """A timm net's own last layer, on the features that the new one reads."""

    reads_features, watches = True, ()

    def __init__(self, pretrained, model, recipe):
        super().__init__()
        backbone, layer = recipe.backbone, pretrained.timm_model.get_classifier()
        reads = isinstance(recipe.head, NativeHead | LinearHead) and backbone.layer is backbone.fusion is None
        new = last_layer(model)
        same = isinstance(layer, nn.Linear) and isinstance(new, nn.Linear) and layer.in_features == new.in_features
        if not (reads and backbone.pooling == "auto" and same):
            raise UserError(
                "CoTuning needs a head that reads what the checkpoint's classifier reads: a NativeHead, and no "
                "backbone.layer, backbone.fusion or backbone.pooling"
            )
        self.layer = copy.deepcopy(layer).requires_grad_(True)

    def forward(self, seen: Seen) -> torch.Tensor:
        return self.layer(seen.features.float())


class _TextSource(nn.Module):
    """A stock text classifier with its encoder taken out: it reads what the encoder in training gives."""

    reads_features = False

    def __init__(self, pretrained, model, recipe):
        super().__init__()
        if not isinstance(recipe.head, NativeHead) or type(pretrained).__name__ != type(model).__name__:
            raise UserError(
                "CoTuning needs a head that reads what the checkpoint's classifier reads: for texts a NativeHead"
            )
        self.watches = (model.base_model_prefix,)
        self.replay = copy.deepcopy(TextReplay(pretrained)).requires_grad_(True).train()

    def forward(self, seen: Seen) -> torch.Tensor:
        outputs = seen.outputs[self.watches[0]]
        pooled = getattr(outputs, "pooler_output", None)
        pooled = None if pooled is None else pooled.float()
        tokens = outputs.last_hidden_state.float()
        return self.replay(tokens, seen.inputs["attention_mask"], pooled).logits
