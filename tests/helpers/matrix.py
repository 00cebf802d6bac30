"""Every strategy on every kind of mini model, trained by the package's own path up to the trained model.

As a script it is one rank of a walk over many cases: `torchrun ... matrix.py FOLDER CASES`.
"""

import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mini import make_texts, mini_image_checkpoint, mini_text_checkpoint, write_csv, write_images

from hf_transfer import (
    BitFit,
    Contrastive,
    FreezeBatchNorm,
    FrozenFeatures,
    FullFineTune,
    GradualUnfreeze,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LoRA,
    NativeHead,
    PartialFineTune,
    Recipe,
    ReinitTop,
    Stage,
    StochNorm,
    TextBackbone,
    TextClassification,
)

TEXT, IMAGE = ("bert", "distilbert"), ("test_resnet", "test_vit")
ARCHITECTURES = TEXT + IMAGE


class Row(NamedTuple):
    """A strategy of the matrix: what it is, under which head, on which models."""

    strategy: Any
    head: Any = NativeHead()
    on: tuple[str, ...] = ARCHITECTURES


ROWS = {
    "full": Row(FullFineTune()),
    "frozen": Row(FrozenFeatures()),
    "partial": Row(PartialFineTune(top=1)),
    "bitfit": Row(BitFit()),
    "gradual": Row(GradualUnfreeze()),
    "decay": Row(FullFineTune(layer_decay=0.7, slanted_triangular=True)),
    "lp_ft": Row((Stage(FrozenFeatures()), Stage(FullFineTune())), LinearHead()),
    "lora": Row(LoRA(rank=2)),
    "lora_apart": Row(LoRA(rank=2, merge=False)),
    "reinit": Row(FullFineTune(transforms=(ReinitTop(k=1),))),
    "stoch_norm": Row(FullFineTune(transforms=(StochNorm(p=0.5),)), on=("test_resnet",)),
    "still_norm": Row(GradualUnfreeze(transforms=(FreezeBatchNorm(),)), on=("test_resnet",)),
    "contrastive": Row((Stage(Contrastive(pairs_per_row=1)), Stage(FrozenFeatures())), LinearHead(), on=TEXT),
}
CASES = [(name, architecture) for name, row in ROWS.items() for architecture in row.on]
# BatchNorm in training normalises by the rows of one rank: there two ranks are not one with twice the batch.
ITS_OWN_ROWS = {(name, "test_resnet") for name in ROWS} - {
    (name, "test_resnet") for name in ("frozen", "still_norm", "lora", "lora_apart")
}
EPOCHS, STEPS_PER_EPOCH = 3, 3


class Ground(NamedTuple):
    """Mini checkpoints and rows below one folder."""

    folder: Path

    def make(self) -> "Ground":
        for name in TEXT:
            still = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, dropout=0.0, attention_dropout=0.0)
            mini_text_checkpoint(self.folder / name, name, **still, seq_classif_dropout=0.0)
        for name in IMAGE:
            mini_image_checkpoint(self.folder / name, name)
        write_csv(self.folder / "rows.csv", ["text", "label"], make_texts(34))
        write_images(self.folder / "photos", count=17)
        return self

    def recipe(self, name: str, architecture: str, ranks: int = 1) -> Recipe:
        row = ROWS[name]
        if architecture in TEXT:
            data = TextClassification(str(self.folder / "rows.csv"))
            backbone = TextBackbone(str(self.folder / architecture), max_length=32, pooling="mean")
        else:
            data = ImageClassification(str(self.folder / "photos"))
            size = 160 if "vit" in architecture else 64
            backbone = ImageBackbone(str(self.folder / architecture), image_size=size, augmentation="none")
        training = dict(
            learning_rate=1e-2, num_train_epochs=EPOCHS, per_device_train_batch_size=8 // ranks, optim="sgd",
            eval_strategy="no", save_strategy="no", load_best_model_at_end=False, max_grad_norm=0,
        )  # fmt: skip
        return Recipe("matrix", data, backbone, row.head, row.strategy, training=training)


def train(recipe: Recipe, folder: Path, resume: bool = False, **changes):
    """Return the trained model, as it is saved, and what was opened for it."""
    from hf_transfer.opening import open_recipe
    from hf_transfer.order import Order
    from hf_transfer.processes import shared_state
    from hf_transfer.resume import remember
    from hf_transfer.training import Ground as Shared
    from hf_transfer.training import train_stages

    state = shared_state(True)
    order = Order(folder, "matrix", resume, False, False, None, "float32", (None, None), state, lambda *_: None)
    opened = open_recipe(replace(recipe, training={**recipe.training, **changes}), order)
    if state.is_main_process:
        remember(order.checkpoints, opened.settings, resume)
    state.wait_for_everyone()
    shared = Shared(order, opened.processor, opened.splits, opened.head_learnt)
    model, _ = train_stages(opened.plans, opened.model, shared)
    return model, opened


@contextmanager
def watched(after_step=None, stop_at: int | None = None):
    """Let something be called after each epoch of any trainer, or stop as Ctrl-C does after so many steps in all."""
    from hf_transfer import training

    taken = [0]

    class Watching(training.StopOnSignal):
        def on_step_end(self, args, state, control, **kwargs):
            taken[0] += 1
            self.stopped = self.stopped or taken[0] == stop_at
            super().on_step_end(args, state, control, **kwargs)

        def on_epoch_end(self, args, state, control, model=None, **kwargs):
            super().on_epoch_end(args, state, control, **kwargs)
            if after_step is not None:
                after_step(model)

    before, training.StopOnSignal = training.StopOnSignal, Watching
    try:
        yield taken
    finally:
        training.StopOnSignal = before


def batch_of(opened) -> dict:
    """A few rows as the model reads them."""
    from hf_transfer.inputs import collator, encode

    backbone, rows = opened.recipe.backbone, opened.splits.test.select(range(4)).remove_columns("label")
    encoded = encode(backbone, opened.processor, rows)
    return collator(backbone, opened.processor)([encoded[number] for number in range(4)])


def same_on_all_ranks(named) -> list[str]:
    """Names of the tensors that are not bit for bit those of the first rank."""
    wrong = []
    for name, tensor in named:
        mine, first = tensor.detach().clone(), tensor.detach().clone()
        torch.distributed.broadcast(first, 0)
        differs = torch.tensor(int(not torch.equal(mine, first)))
        torch.distributed.all_reduce(differs)
        wrong += [name] if differs else []
    return wrong


def walk(folder: Path, cases: list) -> None:
    """One rank's part: train each case, hold the ranks against each other, and leave the weights of the first."""
    from safetensors.torch import save_file

    ground, told = Ground(folder), {}
    for name, architecture in cases:
        key, apart = f"{name}-{architecture}", []
        with watched(lambda model, apart=apart: apart.append(same_on_all_ranks(model.named_parameters()))):
            model, _ = train(ground.recipe(name, architecture, ranks=2), folder / key)
        state = {one: tensor.contiguous().clone() for one, tensor in model.state_dict().items()}
        told[key] = {"epochs": apart, "end": same_on_all_ranks(state.items())}
        if torch.distributed.get_rank() == 0:
            save_file(state, folder / f"{key}.safetensors")
    if torch.distributed.get_rank() == 0:
        (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    walk(Path(sys.argv[1]), json.loads(sys.argv[2]))
