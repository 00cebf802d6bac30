"""The fields of `transformers.TrainingArguments`, read from its source.

Importing transformers to learn their names takes seconds, with some extras ten; reading the source takes hundredths.
A test compares what is read here with the class itself.
"""

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .errors import UserError


@dataclass(frozen=True)
class TrainingField:
    """One field.

    Args:
        name (`str`): the field.
        types (`tuple[str, ...]`): what it takes: `"None"`, `"bool"`, `"int"`, `"float"`, `"str"`, `"dict"`,
            `"list[str]"`; anything else is a type that cannot be typed on a command line.
        default (`Any`): its default value.
        help (`str`): what it does.
        choices (`tuple[str, ...]`): the texts allowed; empty for any.
        bare (`bool`): the flag may stand without a value and then is true.
    """

    name: str
    types: tuple[str, ...]
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    bare: bool = False


@cache
def training_fields() -> dict[str, TrainingField]:
    """Read every field of the installed transformers' `TrainingArguments`, by name, in the order of its source.

    Raises:
        `UserError`: transformers is not installed.
    """
    spec = find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("transformers is not installed: pip install hf-transfer-recipes")
    folder = Path(spec.submodule_search_locations[0])
    tree = _parse(folder / "training_args.py")
    choices = {**_enumerations(_parse(folder / "trainer_utils.py")), **_enumerations(tree)}
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "TrainingArguments").body
    fields = (_read_field(node, body, choices) for node in body if isinstance(node, ast.AnnAssign))
    return {found.name: found for found in fields}


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _enumerations(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Map each class of string constants, such as `SchedulerType`, to its values."""
    result = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any("Enum" in ast.unparse(base) for base in node.bases):
            values = [
                n.value.value for n in node.body if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)
            ]
            result[node.name] = tuple(value for value in values if isinstance(value, str))
    return result


def _read_field(node: ast.AnnAssign, body: list[ast.stmt], enumerations: dict[str, tuple[str, ...]]) -> TrainingField:
    given = {keyword.arg: keyword.value for keyword in node.value.keywords}
    metadata = _literal(given.get("metadata"), body) or {}
    names = _alternatives(node.annotation)
    listed = metadata.get("choices")
    choices = tuple(listed) if isinstance(listed, list | tuple) else ()
    for name in names:
        choices = choices or enumerations.get(name, ())
    types = tuple(dict.fromkeys("str" if name in enumerations else name for name in names))
    default = [] if "default_factory" in given else _literal(given.get("default"), body)
    # argparse, which this text is written for, doubles its percent signs.
    text = str(metadata.get("help", "")).replace("%%", "%")
    return TrainingField(node.target.id, types, default, text, choices, bare=metadata.get("const") is True)


def _alternatives(node: ast.expr) -> list[str]:
    """Name the members of a union; `None | str | list[str]` is `["None", "str", "list[str]"]`."""
    if isinstance(node, ast.BinOp):
        return _alternatives(node.left) + _alternatives(node.right)
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.Subscript):
        outer = ast.unparse(node.value)
        if outer in ("Optional", "Union"):
            inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return [name for part in inner for name in _alternatives(part)] + (["None"] if outer == "Optional" else [])
        if outer == "Literal":
            return [type(ast.literal_eval(node.slice)).__name__]
        if outer == "dict":
            return ["dict"]
    return [ast.unparse(node)]


def _literal(node: ast.expr | None, body: list[ast.stmt]):
    """Evaluate a literal; a name stands for what the class body last gives it; what is no literal is `None`."""
    if node is None:
        return None
    if isinstance(node, ast.Dict):
        return {key.value: _literal(value, body) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Name):
        given = [n for statement in body for n in ast.walk(statement) if isinstance(n, ast.Assign)]
        values = [n.value for n in given if isinstance(n.targets[0], ast.Name) and n.targets[0].id == node.id]
        return _literal(values[-1], body) if values else None
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
