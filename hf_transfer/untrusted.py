"""What is taken of a recipe that somebody else wrote: what is learnt and how, and nothing that reaches outside.

Such a file is data. Its kinds are our own nouns (see `recipe_json`), so what is left to look at are its values: places
on a disk, which mean nothing here or something else than there, and settings that write, load or send.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import UserError
from .flags import Flag, refusal
from .recipe import NOUNS
from .results import hub_sources
from .training_fields import TrainingField, training_fields

# The fields of `TrainingArguments` that decide what is learnt and measured. It is a list of what is allowed because
# the next version of transformers may bring new ways to write or send. Not here: where things go and who is told
# (output_dir, report_to, run_name, project, trackio_*, hub_*, log_level), what loads files or opens connections
# (resume_from_checkpoint, deepspeed, fsdp, accelerator_config, ddp_*), what fills a disk (save_total_limit), and what
# speaks of the author's machine (use_cpu, dataloader_num_workers, torch_compile, use_liger_kernel).
TRAINING = frozenset(
    """
    per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps auto_find_batch_size
    num_train_epochs max_steps learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps
    optim optim_args weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm
    label_smoothing_factor neftune_noise_alpha average_tokens_across_devices
    bf16 fp16 bf16_full_eval fp16_full_eval tf32
    activation_checkpointing activation_checkpointing_kwargs gradient_checkpointing gradient_checkpointing_kwargs
    eval_strategy eval_steps eval_delay eval_on_start save_strategy save_steps
    load_best_model_at_end metric_for_best_model greater_is_better
    logging_strategy logging_steps logging_first_step logging_nan_inf_filter
    seed data_seed full_determinism train_sampling_strategy dataloader_drop_last
    """.split()
)
# What stands in for a source that was not taken; it is neither a file nor a Hub id, so nothing can be loaded by it.
NEEDED = {"data.train": "<set --data.train>", "backbone.checkpoint": "<set --backbone.checkpoint>"}

_OURS = ("trust_remote_code", "start_from", "dtype", "overwrite", "resume", "token", "logging_dir")
_FLAGS = {
    "output_dir": "--output_dir FOLDER",
    "push_to_hub": "--push_to_hub",
    "hub_model_id": "--hub_model_id user/name",
    "hub_private_repo": "--hub_private_repo true",
    "resume_from_checkpoint": "--resume",
    **{name: f"--{name}" for name in ("trust_remote_code", "start_from", "dtype", "overwrite", "resume")},
}
_SPLITS = ("train", "validation", "valid", "val", "dev", "test")
_REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]*")
_LONGEST = 1_000  # characters; every string of a recipe is a name or a line
_DEEPEST = 8  # levels; a recipe has four
# What moves the cursor of a terminal or turns the direction of writing; tab and line feed may be a separator.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Ignored:
    """A value that was not taken.

    Args:
        field (`str`): where it stood, such as `data.train`.
        value (`Any`): what stood there.
        flag (`str`, *optional*): the flag that sets it anew; none where nothing does.
    """

    field: str
    value: Any
    flag: str | None

    def __str__(self) -> str:
        shown = "(a token)" if "token" in self.field else repr(self.value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        field = self.field if re.fullmatch(r"[\w.]+", self.field) else repr(self.field)  # a name of a stranger's too
        return f"{field} {shown}" + (f"; {self.flag} sets it anew" if self.flag else "")


def take(content: Any, where: str) -> tuple[Any, tuple[Ignored, ...]]:
    """Part what a stranger's recipe.json says into what is taken and what is not.

    Args:
        content (`Any`): the parsed JSON, of any shape.
        where (`str`): its name in messages.

    Returns:
        `tuple[Any, tuple[Ignored, ...]]`: what `recipe_from_dict` may read, with [`NEEDED`] in the place of a source
        that was not taken; and what was left out.

    Raises:
        `UserError`: a value that no recipe holds.
    """
    _screen(content, where)
    if not isinstance(content, Mapping):
        return content, ()
    ignored: list[Ignored] = []
    kept = _without_settings("", content, ignored)
    for noun in NOUNS:
        if isinstance(kept.get(noun), Mapping):
            kept[noun] = _without_settings(f"{noun}.", kept[noun], ignored)
    if isinstance(kept.get("head"), Mapping) and "kind" not in kept["head"]:  # one for each task of a mixture
        kept["head"] = {
            name: _without_settings(f"head.{name}.", one, ignored) if isinstance(one, Mapping) else one
            for name, one in kept["head"].items()
        }
    if isinstance(kept.get("strategy"), list):
        kept["strategy"] = [_stage(f"stage.{n}", one, ignored, where) for n, one in enumerate(kept["strategy"], 1)]
    if "objective" in kept:
        kept["objective"] = _teachers("objective", kept["objective"], ignored)
    if isinstance(kept.get("summary"), str):
        kept["summary"] = " ".join(kept["summary"].split())  # a line feed in it could pass for a line of ours
    if isinstance(kept.get("data"), Mapping):
        kept["data"] = _data(kept["data"], ignored)
    if isinstance(kept.get("backbone"), Mapping):
        kept["backbone"] = _backbone(kept["backbone"], ignored, where)
    if isinstance(kept.get("training"), Mapping):
        kept["training"] = _training(kept["training"], ignored, where)
    return kept, tuple(ignored)


def valid_revision(text: Any) -> bool:
    """Whether a text can be a branch, a tag or a commit; `..` is in none, and could climb out of a cache folder."""
    return isinstance(text, str) and _REVISION.fullmatch(text) is not None


def _screen(content: Any, where: str) -> None:
    """Refuse what would break a screen or a later step. A loop, not a recursion: depth is one of the things judged."""
    waiting = [(content, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise UserError(f"{where}: values inside values {depth} levels deep; a recipe has four")
        if isinstance(value, Mapping):
            waiting += [(one, depth + 1) for pair in value.items() for one in pair]
        elif isinstance(value, list):
            waiting += [(one, depth + 1) for one in value]
        elif isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{where}: a number is {value}; allowed: finite ones")
        elif isinstance(value, str) and len(value) > _LONGEST:
            raise UserError(f"{where}: a text has {len(value):,} characters; allowed: {_LONGEST:,}")
        elif isinstance(value, str) and _CONTROL.search(value):
            raise UserError(f"{where}: the text {value[:40]!r} holds a control character, as no recipe does")


def _without_settings(prefix: str, values: Mapping, ignored: list[Ignored]) -> dict:
    """Leave out what is a setting of a run wherever it stands, and keep unknown names for `recipe_from_dict` to
    refuse: they may be of a later version, and would change what is meant."""
    settings = {name for name in values if _is_setting(name)}
    ignored += [Ignored(prefix + name, value, _flag(name)) for name, value in values.items() if name in settings]
    return {name: value for name, value in values.items() if name not in settings}


def _is_setting(name: str) -> bool:
    return name in training_fields() or name in _OURS or name.startswith(("trust", "hub_", "push"))


def _flag(name: str) -> str | None:
    if name in _FLAGS:
        return _FLAGS[name]
    return f"--{name}" if name in training_fields() and refusal(name) is None else None


def _data(data: Mapping, ignored: list[Ignored]) -> dict:
    """What `take` does with the data: of several tasks or two domains, with those of each."""
    if isinstance(data.get("source"), Mapping) and isinstance(data.get("target"), Mapping):
        return _domains(data, ignored)
    tasks = data.get("tasks")
    if not isinstance(tasks, Mapping):
        return _sources(data, ignored)
    kept = {}
    for name, task in tasks.items():
        place = f"data.tasks.{name}"
        if isinstance(task, Mapping):
            task = _sources(_without_settings(f"{place}.", task, ignored), ignored, place)
        kept[name] = task
    return {**data, "tasks": kept}


def _domains(data: Mapping, ignored: list[Ignored]) -> dict:
    """The same of a source and a target, whose test rows are `data.test`."""
    kept = dict(data)
    for name in ("source", "target"):
        place = f"data.{name}"
        kept[name] = _sources(_without_settings(f"{place}.", data[name], ignored), ignored, place)
    tested = _sources({"train": data["target"].get("train"), "test": data.get("test")}, found := [], "data")
    ignored += [one for one in found if one.field == "data.test"]
    return {**kept, "test": tested["test"]}


def _sources(data: Mapping, ignored: list[Ignored], place: str = "data") -> dict:
    """Leave out rows that are a place on a disk, or were in the author's memory."""
    kept, from_hub = dict(data), _from_hub(data.get("train"))
    for part in ("train", "validation", "test"):
        value = data.get(part)
        if not isinstance(value, str | Mapping):
            continue  # a fraction, or nothing; other types are refused with the rest
        named = _from_hub(value) if part == "train" else _from_hub(value, owner=True) or from_hub and _is_split(value)
        if not named:
            ignored.append(Ignored(f"{place}.{part}", value, f"--{place}.{part} FILE"))
            kept[part] = f"<set --{place}.train>" if part == "train" else None
    return kept


def _backbone(backbone: Mapping, ignored: list[Ignored], where: str) -> dict:
    """The checkpoint of a backbone, or of each part of a fused one."""
    if not isinstance(backbone.get("parts"), Mapping):
        return _checkpoint(backbone, ignored, where)
    parts = {}
    for name, part in backbone["parts"].items():
        place = f"backbone.parts.{name}"
        own = _without_settings(f"{place}.", part, ignored) if isinstance(part, Mapping) else part
        parts[name] = _checkpoint(own, ignored, where, place) if isinstance(own, Mapping) else own
    return {**backbone, "parts": parts}


def _checkpoint(backbone: Mapping, ignored: list[Ignored], where: str, place: str = "backbone") -> dict:
    kept = dict(backbone)
    checkpoint, revision = backbone.get("checkpoint"), backbone.get("revision")
    if isinstance(checkpoint, str) and not _from_hub(checkpoint):
        ignored.append(Ignored(f"{place}.checkpoint", checkpoint, f"--{place}.checkpoint NAME"))
        kept["checkpoint"] = f"<set --{place}.checkpoint>"
        if kept.pop("revision", None) is not None:
            ignored.append(Ignored(f"{place}.revision", revision, f"--{place}.revision COMMIT"))
    elif revision is not None and not valid_revision(revision):
        raise UserError(f"{where}: {place}.revision is {revision!r}; allowed: a branch, tag or commit")
    return kept


def _stage(place: str, stage: Any, ignored: list[Ignored], where: str) -> Any:
    """One stage of a training: what `take` does with the recipe's own strategy, objective and training fields."""
    if not isinstance(stage, Mapping):
        return stage  # refused with the rest
    kept = _without_settings(f"{place}.", stage, ignored)
    if isinstance(kept.get("strategy"), Mapping):
        kept["strategy"] = _without_settings(f"{place}.strategy.", kept["strategy"], ignored)
    if isinstance(kept.get("training"), Mapping):
        kept["training"] = _training(kept["training"], ignored, where, place)
    if "objective" in kept:
        kept["objective"] = _teachers(f"{place}.objective", kept["objective"], ignored)
    return kept


def _teachers(place: str, objective: Any, ignored: list[Ignored]) -> Any:
    """Leave out checkpoints that are a place on a disk; parts of a sum are looked at one by one."""
    if not isinstance(objective, Mapping):
        return objective
    kept = dict(objective)
    checkpoint = kept.get("checkpoint")
    if isinstance(checkpoint, str) and not _from_hub(checkpoint):
        flag = f"--{place}.checkpoint NAME"
        ignored.append(Ignored(f"{place}.checkpoint", checkpoint, flag))
        kept["checkpoint"] = f"<set {flag.removesuffix(' NAME')}>"
    if isinstance(kept.get("objectives"), list):
        parts = enumerate(kept["objectives"], 1)
        kept["objectives"] = [_teachers(f"{place}.{number}", part, ignored) for number, part in parts]
    return kept


def _from_hub(value: Any, owner: bool = False) -> bool:
    """Whether a source can only be meant as a Hub id: one whose name is a file or folder here would be read in the
    place of what the author had.

    Args:
        owner (`bool`): the id must be `owner/name`, because `name` alone means something else.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not isinstance(value, str) or (owner and "/" not in value):
        return False
    try:
        validate_repo_id(value.partition(":")[0])
    except HFValidationError:
        return False
    return hub_sources({"backbone": {"checkpoint": value}})["base_model"] is not None


def _is_split(value: Any) -> bool:
    """Whether a text can only be meant as a split of a Hub data set, such as `test` or `train[:10%]`."""
    if not isinstance(value, str) or not re.fullmatch(r"\w[\w.+:%\[\]-]*", value):
        return False
    return value in _SPLITS or not (os.path.exists(value) or re.search(r"\.\w+$", value))


def _training(values: Mapping, ignored: list[Ignored], where: str, place: str = "training") -> dict:
    fields, kept = training_fields(), {}
    for name, value in values.items():
        if name not in TRAINING or name not in fields:
            ignored.append(Ignored(f"{place}.{name}", value, _flag(name)))
        elif not _fits(value, fields[name]):
            flag = Flag(name, fields[name].types, choices=fields[name].choices)
            raise UserError(f"{where}: {place}.{name} is {value!r}; allowed: {flag.allowed}")
        else:
            kept[name] = value
    return kept


def _fits(value: Any, found: TrainingField) -> bool:
    if isinstance(value, Mapping):
        return "dict" in found.types and not any(isinstance(one, Mapping | list) for one in value.values())
    if isinstance(value, bool):
        return "bool" in found.types
    if isinstance(value, str):
        return "str" in found.types and "dict" not in found.types  # for some, such a text is a file to read
    if isinstance(value, int | float):
        return "float" in found.types or (isinstance(value, int) and "int" in found.types)
    return value is None and "None" in found.types
