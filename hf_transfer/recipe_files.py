"""Recipes by name, by path, or from the Hub."""

import json
import warnings
from dataclasses import replace
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from .errors import UserError
from .hub_recipe import fetch, is_address, parse_address
from .recipe import Pipeline, Recipe
from .recipe_json import pipeline_from_dict, recipe_from_dict


def recipes_folder() -> Path:
    """Where the shipped recipes are: inside the package when installed from a wheel, else beside it in the clone."""
    package = Path(__file__).resolve().parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def list_recipes() -> dict[str, str]:
    """Name every shipped recipe: a `dict` from name, such as `"text/linear_probe"`, to its summary, sorted by name."""
    return {name: _load_python(path).summary for name, path in _shipped().items()}


def _shipped() -> dict[str, Path]:
    root = recipes_folder()
    files = (path for path in root.rglob("*.py") if path.name != "__init__.py")
    return dict(sorted((path.relative_to(root).with_suffix("").as_posix(), path) for path in files))


def load_recipe(name_or_path: str | Path) -> Recipe | Pipeline:
    """Load a recipe, or a pipeline with its recipes loaded too.

    Of a recipe from the Hub only what cannot reach outside is taken (see [`hub_recipe`]); a warning names each value
    that is not. Where that was its data or its checkpoint, the recipe holds a text such as `"<set --data.train>"`, to
    be replaced before it runs.

    Args:
        name_or_path (`str` or `Path`): a shipped recipe's name such as `"text/linear_probe"`; a Python file that
            defines `RECIPE`; a `recipe.json`; the output folder of a run, which holds one; or a pushed run, as
            `"hub://user/name"` or `"hub://user/name@revision"`.

    Raises:
        `UserError`: no such recipe (with the nearest names), a file that does not define one, or a Hub that cannot be
            reached.
    """
    if is_address(name_or_path):
        found = fetch(name_or_path)
        for line in found.lines():
            warnings.warn(line, stacklevel=2)
        return found.recipe
    shipped = _shipped().get(str(name_or_path))
    if shipped is not None:
        return _with_recipes(_load_python(shipped))
    path = _recipe_file(name_or_path)
    return _with_recipes(_load_python(path) if path.suffix == ".py" else _load_json(path))


def _with_recipes(recipe: Recipe | Pipeline) -> Recipe | Pipeline:
    """Put recipes in the place of their names in a pipeline."""
    if not isinstance(recipe, Pipeline):
        return recipe
    loaded = tuple(load_recipe(one) if isinstance(one, str) else one for one in recipe.recipes)
    return replace(recipe, recipes=loaded)


def recipe_name(name_or_path: str | Path) -> str:
    """Return what a run calls this recipe: a shipped one's own name, `user-name` for one from the Hub, else the
    file's (or its folder's) name.

    Raises:
        `UserError`: no such recipe.
    """
    if is_address(name_or_path):
        return parse_address(name_or_path).run_name
    if str(name_or_path) in _shipped():
        return str(name_or_path)
    path = _recipe_file(name_or_path).resolve()
    return path.parent.name if path.name == "recipe.json" else path.stem


def _recipe_file(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.is_dir() and (path / "recipe.json").is_file():
        path = path / "recipe.json"
    if path.suffix not in (".py", ".json"):
        near = get_close_matches(str(name_or_path), _shipped(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "`hf-transfer list` names them all"
        raise UserError(f"there is no recipe {str(name_or_path)!r}; {hint}")
    if not path.is_file():
        raise UserError(f"recipe file {str(path)!r} does not exist")
    return path


def _load_python(path: Path) -> Recipe | Pipeline:
    # Executed by path and not kept in sys.modules: two files of one name in two folders must not meet.
    spec = spec_from_file_location(f"_hf_transfer_recipe_{path.stem}", path)
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe | Pipeline):
        found = "nothing of that name" if recipe is None else type(recipe).__name__
        raise UserError(f"{path}: expected RECIPE = Recipe(...), found {found}")
    return recipe


def _load_json(path: Path) -> Recipe | Pipeline:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from error
    if isinstance(content, dict) and "recipes" in content:
        return pipeline_from_dict(content, where=str(path))
    return recipe_from_dict(content, where=str(path))
