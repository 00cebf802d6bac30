"""Training a finished model further: what it brings, and what a recipe must not say against it."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .backbones.finished import run_behind
from .data import Labels
from .errors import UserError
from .heads import LinearHead, NativeHead
from .hub_errors import LOG_IN
from .saved import load_saved_model, saved_labels, saved_recipe
from .scrub import is_path, last_name
from .stages import stages_of

# All that a model needs of what a run leaves behind; never code.
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
# Fields of a head that say how it is trained, not what it is.
_FREE = ("dropout", *LinearHead.training_only)
_OF_BACKBONE = ("layer", "fusion", "embeddings_only", "add_tokens", "in_chans")
_POOLED = ("transfer_text", "transfer_image", "timm_wrapper")  # a stock text model pools by itself


@dataclass(frozen=True)
class Start:
    """A finished model that is trained further, its head too.

    Args:
        source (`str`): a folder, or `user/name`.
        folder (`Path`): where its files are.
        commit (`str`, *optional*): of a model on the Hub.
        made (`Recipe`): how it was made.
        model (`PreTrainedModel`): backbone and head.
        labels (`Labels`): its classes, in the order of its ids.
    """

    source: str
    folder: Path
    commit: str | None
    made: Any
    model: Any
    labels: Labels

    @property
    def record(self) -> dict[str, str | None]:
        """What results.json says of it: `source`, and of a model on the Hub the commit as `revision`."""
        return {"source": self.source, "revision": self.commit}

    def settle(self, recipe) -> tuple[Any, str]:
        """Return `recipe` as it is carried out from here, and a line that says what goes on.

        Raises:
            `UserError`: its backbone or head is another one than the model has; the field and both values are named.
        """
        for backbone in (recipe.backbone, self.made.backbone):
            if hasattr(backbone, "parts"):
                raise UserError(
                    f"--start_from {self.source}: a fused model is not trained further; train one anew from its "
                    "checkpoints, with more rows"
                )
        self._check(recipe)
        line = f"start: backbone and head of {run_behind(str(self.folder), None) or 'a finished run'}"
        made, pooling = self.made.backbone, recipe.backbone.pooling
        pooling = made.pooling if pooling == "auto" else pooling
        settled = replace(recipe, backbone=replace(recipe.backbone, revision=made.revision, pooling=pooling))
        freezes = any(stage.recipe.strategy.frozen_depth(1) >= 1 for stage in stages_of(recipe))
        if not isinstance(recipe.head, LinearHead) or not freezes or recipe.head.fit == "sgd":
            return settled, line
        if recipe.head.fit == "lbfgs" or recipe.head.l2 is not None:
            raise UserError(
                f"--start_from {self.source}: head.fit and head.l2 ask for a fit by L-BFGS, which would keep nothing "
                f"of its head; set --head.fit sgd --head.l2 none, or for a new head {self._anew}"
            )
        line += "; the head goes on by gradient descent, as a fit by L-BFGS would keep nothing of it"
        return replace(settled, head=replace(recipe.head, fit="sgd")), line

    def reading(self, backbone):
        """Return the spec that reads the model's own tokenizer or image settings, for the lengths of `backbone`."""
        return replace(backbone, checkpoint=str(self.folder), revision=None)

    def check_labels(self, splits):
        """Return `splits` with the meaning that the model's outputs have.

        Raises:
            `UserError`: the rows are of another task, or of other classes; the first such class is named.
        """
        found, known = splits.labels, self.labels
        if found.problem_type != known.problem_type:
            raise UserError(
                f"--start_from {self.source}: it was trained for {known.problem_type}, and the labels were taken for "
                f"{found.problem_type}; --data.problem_type says what they are, or for a new head {self._anew}"
            )
        if found.problem_type == "regression":
            return replace(splits, labels=known)  # the name of the column, which may be another one now
        new = [name for name in found.names if name not in known.names]
        absent = [name for name in known.names if name not in found.names]
        if new or absent:
            what = f"the label {new[0]!r} is new to it" if new else f"no row has its label {absent[0]!r}"
            names = ", ".join(known.names[:12]) + (", ..." if len(known.names) > 12 else "")
            raise UserError(f"--start_from {self.source}: {what} (it knows {names}); for a new head {self._anew}")
        return splits

    def build(self, recipe):
        """Return the model in training mode, with the dropout and the image size that the recipe asks for."""
        import torch

        model, head = self.model, recipe.head
        if model.config.model_type.startswith("transfer_"):
            model.config.head["dropout"] = head.dropout
            for module in model.head.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = head.dropout
        if recipe.backbone.modality == "image":
            settings = self.reading(recipe.backbone).load_config().pretrained_cfg
            for config in filter(None, (model.config, getattr(model.config, "backbone_config", None))):
                config.pretrained_cfg = settings  # how a picture is read wherever the model is loaded
            model = model.to(memory_format=torch.channels_last)
        return model.float().train()

    @property
    def _anew(self) -> str:
        return f"leave --start_from out and pass --backbone.checkpoint {self.source}"

    def _check(self, recipe) -> None:
        here, there = self._parts(recipe), self._parts(self.made)
        for field in dict.fromkeys((*there, *here)):
            if here.get(field) != there.get(field):
                self._refuse(field, there.get(field), here.get(field))
        if not self._same_checkpoint(recipe.backbone.checkpoint):
            self._refuse("backbone.checkpoint", self.made.backbone.checkpoint, recipe.backbone.checkpoint)
        asked, config = recipe.backbone.pooling, self.model.config
        if asked in ("auto", self.made.backbone.pooling) or config.model_type not in _POOLED:
            return
        own = getattr(config, "pooling", "auto")
        own += ", scaled to length 1" if getattr(config, "normalize", False) else ""
        if asked != own:
            self._refuse("backbone.pooling", own, asked)

    def _parts(self, recipe) -> dict[str, Any]:
        """What of a recipe decides which weights there are, by field."""
        backbone, head = recipe.backbone, recipe.head
        # The last layer of a timm net is a NativeHead and a LinearHead alike, unless that has dropout.
        last_layer = self.model.config.model_type == "timm_wrapper" and not getattr(head, "dropout", 0)
        same = last_layer and isinstance(head, NativeHead | LinearHead)
        return {
            "backbone": type(backbone).__name__,
            "head": "NativeHead" if same else type(head).__name__,
            **{f"head.{name}": value for name, value in asdict(head).items() if name not in _FREE},
            **{f"backbone.{name}": getattr(backbone, name) for name in _OF_BACKBONE if hasattr(backbone, name)},
        }

    def _same_checkpoint(self, here: str) -> bool:
        """Nothing is loaded from there, but a recipe that names another one would not say the truth."""
        there = self.made.backbone.checkpoint
        if here in (there, self.source):
            return True
        # Of what was pushed, places on the author's disk are cut to their last name.
        return is_path(there) and is_path(here) and last_name(there) == last_name(here)

    def _refuse(self, field: str, there: Any, here: Any) -> None:
        recipe = self.source if self.commit is None else f"hub://{self.source}"
        raise UserError(
            f"--start_from {self.source}: {field} was {there!r} when it was made and is {here!r} here; go on with its "
            f"own recipe: `run_recipe.py {recipe} --start_from {self.source} --data.train FILE`"
        )


def open_start(source: str, trust_remote_code: bool = False) -> Start:
    """Find and load a finished model that is to be trained further.

    Args:
        source (`str`): the output folder of a run, or `user/name` or `user/name@REVISION` of a pushed one.
        trust_remote_code (`bool`): run code of the folder that is not ours; nothing of the Hub is ever run here.

    Raises:
        `UserError`: there is no such model, it is not one of ours, or a weight of it is missing or too much.
    """
    source = source.removeprefix("hub://")
    folder, commit = Path(source), None
    if not folder.is_dir():
        source, _, revision = source.partition("@")
        folder = _download(source, revision or None)
        commit = folder.name
    if not (folder / "recipe.json").is_file():
        raise UserError(
            f"--start_from {source}: not a finished run (it holds no recipe.json); for the weights of another model "
            f"pass --backbone.checkpoint {source}"
        )
    made = saved_recipe(folder)
    if hasattr(made.data, "tasks"):
        raise UserError(
            f"--start_from {source}: it has several tasks; export one first (hf-transfer export {source} --task "
            f"{next(iter(made.data.tasks))} --output DIR) and start from that"
        )
    model = load_saved_model(folder, made.backbone.modality, trust_remote_code)
    return Start(source, folder, commit, made, model, saved_labels(model.config))


def _download(repo_id: str, revision: str | None) -> Path:
    """Return the folder of the cache that holds a pushed model; it is called by the commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import get_token, tqdm

    class OnScreenAlone(tqdm):
        def __init__(self, *args, **settings):
            super().__init__(*args, **{**settings, "disable": settings.get("disable") or None})  # None: if no terminal

    try:
        place = snapshot_download(repo_id, revision=revision, allow_patterns=list(_FILES), tqdm_class=OnScreenAlone)
        return Path(place)
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        said, token = " ".join(str(error).split()), get_token()
        quotes = bool(token) and token in said  # a server may repeat what it was sent
        said = said.replace(token, "[token]") if quotes else said
        raise UserError(
            f"--start_from {repo_id}: neither a folder on this disk nor to be had from the Hub ({said[:200]}); check "
            f"the name and the network, and for a private model {LOG_IN}"
        ) from (None if quotes else error)
