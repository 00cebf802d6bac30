"""What the Hub asks of the metadata of a model card, as far as its documentation and its answers tell.

Sources: hub-docs' modelcard.md and repositories-licenses.md, and answers of /api/validate-yaml quoted in public issues
(a wrong license, a `dataset.type` that is no id, a `config` that is no text, a local path as `base_model`).
"""

import re

import yaml

from hf_transfer.licenses import LICENSES

ID = re.compile(r"(?:[\w-]+/)?[\w\-.]+")
PIPELINE_TAGS = (
    "text-classification", "token-classification", "text-generation", "feature-extraction", "sentence-similarity",
    "image-classification", "image-feature-extraction", "object-detection",
)  # fmt: skip
RELATIONS = ("adapter", "merge", "quantized", "finetune")


class Yaml12(yaml.SafeLoader):
    """YAML 1.2 as the Hub's own reader takes it: `no` is text, `1e3` and `0o7` are numbers."""

    yaml_implicit_resolvers: dict = {}


for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
    ("timestamp", r"\d{4}-\d\d-\d\d([Tt ].*)?", "0123456789"),
):  # fmt: skip
    Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), list(first))


def problems(content: str, repo_type: str = "model") -> tuple[list[str], list[str]]:
    """Errors and warnings about the YAML block at the top of a README.md."""
    block = re.match(r"\s*---\n(.*?)\n---[ \t]*(\n|$)", content, flags=re.DOTALL)
    try:
        metadata = yaml.load(block[1], Yaml12) if block else None
    except yaml.YAMLError as error:
        return [f"YAML: {' '.join(str(error).split())}"], []
    if metadata is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(metadata, dict):
        return ["metadata must be a mapping"], []
    errors = list(_license(metadata))
    warnings: list[str] = []
    if repo_type == "model":
        errors += [*_ids(metadata), *_languages(metadata), *_model_index(metadata)]
        tag = metadata.get("pipeline_tag")
        if tag is not None and tag not in PIPELINE_TAGS:
            warnings.append(f'The pipeline tag "{tag}" is not in the official list: {", ".join(PIPELINE_TAGS)}')
    return errors, warnings


def _license(metadata):
    for value in _listed(metadata.get("license")):
        if value not in LICENSES:
            yield f'"license" must be one of [{", ".join(LICENSES)}]'
    if "license_name" in metadata and not re.fullmatch(r"[a-z0-9.-]+", str(metadata["license_name"])):
        yield '"license_name" must only contain lowercase letters, digits, "." and "-"'


def _ids(metadata):
    for key, what in (("base_model", "model"), ("datasets", "dataset")):
        for place, value in enumerate(_listed(metadata.get(key))):
            if not isinstance(value, str):
                yield f'"{key}[{place}]" must be a string'
            elif not ID.fullmatch(value):
                yield f'"{key}[{place}]" with value "{value}" is not valid. Use a {what} id from https://hf.co/{what}s.'
    relation = metadata.get("base_model_relation")
    if relation is not None and relation not in RELATIONS:
        yield f'"base_model_relation" must be one of [{", ".join(RELATIONS)}]'
    for key in ("tags", "metrics"):
        if key in metadata and not all(isinstance(one, str) for one in metadata[key]):
            yield f'"{key}" must be a list of strings'


def _languages(metadata):
    for place, value in enumerate(_listed(metadata.get("language"))):
        if not isinstance(value, str) or not re.fullmatch(r"[a-z]{2,3}|code|multilingual", value):
            yield (
                f'"language[{place}]" with value "{value}" is not valid. It must be an ISO 639-1, 639-2 or 639-3 code '
                '(two/three letters), or a special value like "code", "multilingual".'
            )


def _model_index(metadata):
    if "model-index" not in metadata:
        return
    index = metadata["model-index"]
    if not isinstance(index, list):
        yield '"model-index" must be an array'
        return
    for i, model in enumerate(index):
        at = f"model-index[{i}]"
        yield from _text(model, "name", at, required=True)
        results = model.get("results")
        if not isinstance(results, list):
            yield f'"{at}.results" must be an array'
            continue
        for j, result in enumerate(results):
            yield from _result(result, f"{at}.results[{j}]")


def _result(result, at):
    task, dataset, metrics = (result.get(key) for key in ("task", "dataset", "metrics"))
    if not isinstance(task, dict) or not isinstance(dataset, dict):
        yield f'"{at}.task" and "{at}.dataset" are required'
        return
    yield from _text(task, "type", f"{at}.task", required=True)
    yield from _text(task, "name", f"{at}.task")
    yield from _text(dataset, "type", f"{at}.dataset", required=True)
    yield from _text(dataset, "name", f"{at}.dataset", required=True)
    for key in ("config", "split", "revision"):
        yield from _text(dataset, key, f"{at}.dataset")
    if isinstance(dataset.get("type"), str) and not ID.fullmatch(dataset["type"]):
        yield f'"{at}.dataset.type" with value "{dataset["type"]}" fails to match the required pattern: /{ID.pattern}/'
    if not isinstance(metrics, list):
        yield f'"{at}.metrics" must be an array'
        return
    for k, metric in enumerate(metrics):
        yield from _text(metric, "type", f"{at}.metrics[{k}]", required=True)
        for key in ("name", "config"):
            yield from _text(metric, key, f"{at}.metrics[{k}]")
        if metric.get("value") is None:
            yield f'"{at}.metrics[{k}].value" is required'
        if "verified" in metric or "verifyToken" in metric:
            yield f'"{at}.metrics[{k}].verified" is set by the Hub alone'


def _text(mapping, key, at, required=False):
    value = mapping.get(key)
    if value is None:
        if required:
            yield f'"{at}.{key}" is required'
    elif not isinstance(value, str) or not value:
        yield f'"{at}.{key}" must be a string'


def _listed(value):
    return value if isinstance(value, list) else [] if value is None else [value]
