"""The metadata at the top of a card, as the Hub reads them: https://github.com/huggingface/hub-docs, modelcard.md."""

import math
import re
from collections.abc import Mapping
from typing import Any

from ..domain_results import measured_data
from ..errors import UserError
from ..results import RunResult, is_path, last_name
from ..task_results import is_mixture, task_result

REQUIRED = ("license", "library_name", "pipeline_tag", "tags", "metrics", "model-index")
TASKS = {
    "text-classification": "Text Classification",
    "image-classification": "Image Classification",
    "other": "Text and Image Classification",
}
# The Hub has no task for a text and an image to classes; its own catch-all hides nothing and shows no widget.
_TAGS = {"ImageClassification": "image-classification", "TextImageClassification": "other"}
# The Hub's names of metrics (https://huggingface.co/metrics), where ours differ.
_TYPES = {"pearson": "pearsonr", "spearman": "spearmanr"}
_AVERAGED = re.compile(r"(macro|micro|weighted)_(f1|precision|recall)")
# What `datasets` calls the reader of a local file, which is what cards of models trained on one name as their data.
_READERS = {"csv": "csv", "tsv": "csv", "json": "json", "jsonl": "json", "parquet": "parquet"}


def card_data(result: RunResult):
    """Build the metadata of a result.

    Returns:
        `huggingface_hub.ModelCardData`: of what is not known nothing is said, but for the license.
    """
    from huggingface_hub import ModelCardData

    data, base_model = result.data, base_model_of(result)
    tags = ["hf-transfer-recipes", "transfer-learning"]
    if result.recipe_name:
        tags.append(result.recipe_name.replace("/", "-"))
    adapter = (result.output_dir / "adapter_config.json").is_file()
    evaluated = _eval_results(result)
    types = [one.metric_type for one in evaluated if one.metric_type != "loss"]
    return ModelCardData(
        language=list(data.get("language") or []) or None,
        license=data.get("license") or "unknown",
        license_name=data.get("license_name"),
        license_link=data.get("license_link"),
        library_name="peft" if adapter else "transformers",
        pipeline_tag=pipeline_tag(result),
        base_model=base_model,
        base_model_relation=("adapter" if adapter else "finetune") if base_model else None,
        datasets=list(hub_sources_of(result).get("datasets") or []) or None,
        metrics=list(dict.fromkeys(types)),
        tags=tags,
        model_name=" ".join(str(result.recipe_name or result.recipe.get("summary") or "model").split()),
        eval_results=evaluated,
    )


def front_matter(data) -> str:
    """Write metadata as YAML that both readers of YAML understand alike.

    Python's reads version 1.1, where `no` is False, the Hub's version 1.2, where `1e3` and `0o7` are numbers; what
    either would take for something else than text is quoted.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data):
            return True

    def text(dumper, value: str):
        style = '"' if re.match(r"[-+.\d]", value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump(data.to_dict(), Dumper=Dumper, sort_keys=False, allow_unicode=True).strip()


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata without what every card of this package has.

    Raises:
        `UserError`: a key of `REQUIRED` is missing or empty, or a result in the model-index is not whole.
    """
    for key in REQUIRED:
        if not metadata.get(key):
            raise UserError(f"the card's metadata lack {key!r}; every card has {', '.join(REQUIRED)}")
    for result in metadata["model-index"][0].get("results") or [{}]:
        for key in ("task", "dataset", "metrics"):
            if not result.get(key):
                raise UserError(f"the card's metadata lack {key!r} in a result of the model-index")


def pipeline_tag(result: RunResult) -> str:
    data = measured_data(result)
    if is_mixture(result):
        data = next(iter(result.recipe["data"]["tasks"].values()))
    return _TAGS.get(data.get("kind"), "text-classification")


def base_model_of(result: RunResult) -> str | None:
    """The Hub id of what was trained further, or of the checkpoint; None when that was a folder."""
    start = result.data.get("start_from") or {}
    return start["source"] if start.get("revision") else hub_sources_of(result).get("base_model")


def hub_sources_of(result: RunResult) -> Mapping[str, Any]:
    return result.data.get("hub_sources") or {}


def _eval_results(result: RunResult) -> list:
    from huggingface_hub import EvalResult

    if is_mixture(result):
        return _of_tasks(result)
    task, headline = pipeline_tag(result), result.headline
    shared = dict(task_type=task, task_name=TASKS[task], **_test_data(result))
    found = []
    for name, value in result.metrics["test"].items():
        if value is None or not math.isfinite(value):
            continue
        kind, args = _metric(name)
        if name == headline["name"] and headline.get("ci95"):
            # `config` must be text; `args` holds any JSON and comes back as it went.
            args["ci95"] = list(headline["ci95"])
        found.append(
            EvalResult(
                metric_type=kind,
                metric_value=value,
                metric_name=result.metric_title(name),
                metric_args=args or None,
                **shared,
            )
        )
    return found


def _of_tasks(result: RunResult) -> list:
    """The results of every task. The Hub takes results on data of the same type, config and split for one: the task's
    name tells local files apart."""
    found, seen = [], set()
    for task in result.data["tasks"]:
        own = _eval_results(task_result(result, task))
        config = own[0].dataset_config or task
        key = (own[0].dataset_type, config)
        for one in own:
            one.dataset_config = f"{config}-{task}" if key in seen else config
        seen.add(key)
        found += own
    return found


def _metric(name: str) -> tuple[str, dict[str, Any]]:
    averaged = _AVERAGED.fullmatch(name)
    if averaged:
        return averaged[2], {"average": averaged[1]}
    return _TYPES.get(name, name), {}


def _test_data(result: RunResult) -> dict[str, Any]:
    """Where the test rows are from, in the words of `EvalResult`."""
    data, sizes = measured_data(result), result.data.get("data") or {}
    train, test, cut = data.get("train"), data.get("test"), _cut(result)
    elsewhere = isinstance(test, str) and bool(re.search(r"[/\\]", test) or _suffix(test) in _READERS)
    args = {"rows": sizes.get("test"), "fingerprint": sizes.get("fingerprint"), "cut": cut}
    split = "test"
    if cut:
        split = str(data.get("train_split") or "train")
    elif isinstance(test, str) and not elsewhere:
        split = test
    return {
        **_source(result, test if elsewhere else train),
        "dataset_split": split,
        "dataset_revision": str(data["revision"]) if data.get("revision") else None,
        "dataset_args": {key: value for key, value in args.items() if value is not None} or None,
    }


def _source(result: RunResult, source: Any) -> dict[str, Any]:
    """Type, name and config of a data set: on the Hub, in a file or folder, or only in memory."""
    if not isinstance(source, str):
        return {"dataset_type": "generator", "dataset_name": "rows in memory"}
    name, _, config = source.partition(":")
    if name in (hub_sources_of(result).get("datasets") or []):
        return {"dataset_type": name, "dataset_name": name, "dataset_config": config or None}
    shown = " ".join((last_name(source) if is_path(source) or "/" in source else source).split())
    folder = "imagefolder" if pipeline_tag(result) == "image-classification" else "text"
    return {"dataset_type": _READERS.get(_suffix(source), folder), "dataset_name": shown or "local file"}


def _cut(result: RunResult) -> str | None:
    """How the test rows were cut from the train rows, as the run noted it; None when they are a split of their own."""
    # Of two domains those of the target are measured on, where both were cut.
    notes = sorted(map(str, result.data.get("notes") or []), key=lambda note: note.startswith("source: "))
    for note in notes:
        found = re.match(r"(?:test|source: test): [\d,]+ (?:target rows cut|rows cut from train) \((.+?)\)", note)
        if found:
            return found[1]
    return None


def _suffix(source: str) -> str:
    return source.rpartition(".")[2].lower()
