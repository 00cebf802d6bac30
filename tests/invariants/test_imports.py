"""Who may import whom: DESIGN's table, read from the sources, so that an import inside a function counts too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hf_transfer

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "hf_transfer"
HEAVY = {
    "gradio",
    "torch",
    "transformers",
    "datasets",
    "pandas",
    "numpy",
    "timm",
    "evaluate",
    "sklearn",
    "accelerate",
    "PIL",
}
HEAVY |= {"matplotlib", "jinja2", "huggingface_hub"}


def imports(source: str, module: str, is_package: bool = False) -> set[str]:
    """Every module that a source imports, anywhere in it, by absolute name; `from a import b` is both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join([*kept, base] if base else kept)
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def modules(folder: Path, name: str) -> dict[str, set[str]]:
    """Module name to what it imports, for every file below a folder."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join([name, *(parts[:-1] if is_package else parts)])
        found[module] = imports(path.read_text(encoding="utf-8"), module, is_package)
    return found


OURS = modules(ROOT / "hf_transfer", PACKAGE)


def below(name: str) -> dict[str, set[str]]:
    """The modules named `hf_transfer.<name>` and those inside it."""
    prefix = f"{PACKAGE}.{name}"
    return {module: found for module, found in OURS.items() if module == prefix or module.startswith(prefix + ".")}


def touches(found: set[str], name: str) -> bool:
    return any(target == name or target.startswith(name + ".") for target in found)


def third_party(found: set[str]) -> set[str]:
    tops = {target.partition(".")[0] for target in found}
    return tops - set(sys.stdlib_module_names) - {PACKAGE, ""}


def own(found: set[str]) -> set[str]:
    """Our own modules among the targets; `from .errors import UserError` counts as the module alone."""
    return {max((m for m in OURS if t == m or t.startswith(m + ".")), key=len) for t in found if touches({t}, PACKAGE)}


# ---------------------------------------------------------------------------------------------------------------------
# The reader itself


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch.nn as nn", {"torch.nn"}),
        ("from . import run", {"hf_transfer.a", "hf_transfer.a.run"}),
        ("from .x import y", {"hf_transfer.a.x", "hf_transfer.a.x.y"}),
        ("from ..errors import UserError", {"hf_transfer.errors", "hf_transfer.errors.UserError"}),
        ("def f():\n    from timm.data import g", {"timm.data", "timm.data.g"}),
        ("if True:\n    try:\n        import datasets\n    except ImportError: pass", {"datasets"}),
    ],
)
def test_imports_are_read_wherever_they_stand(source, expected):
    assert imports(source, "hf_transfer.a.b") == expected


def test_a_package_reads_its_own_relative_imports():
    assert imports("from .x import y", "hf_transfer.a", is_package=True) == {"hf_transfer.a.x", "hf_transfer.a.x.y"}


def test_the_sources_were_found():
    assert {f"{PACKAGE}.recipe", f"{PACKAGE}.cli", f"{PACKAGE}.hub", f"{PACKAGE}.runner"} <= set(OURS)
    assert f"{PACKAGE}.errors" in own(OURS[f"{PACKAGE}.recipe"])


# ---------------------------------------------------------------------------------------------------------------------
# The table


@pytest.mark.parametrize("module", sorted(below("hub")))
def test_what_travels_to_the_hub_needs_torch_and_transformers_alone(module):
    # Every package named there is demanded of the stranger who loads the model, even inside a function.
    assert third_party(OURS[module]) <= {"torch", "transformers"}
    assert own(OURS[module]) <= set(below("hub"))


def test_the_page_that_becomes_a_space_needs_nothing_of_ours():
    page = OURS[f"{PACKAGE}.web.app"]
    assert own(page) == set()
    assert third_party(page) <= {"gradio", "numpy", "PIL", "torch", "transformers"}


def test_the_hub_folder_is_flat_and_imports_siblings_by_one_dot():
    for path in (ROOT / "hf_transfer" / "hub").rglob("*.py"):
        assert path.parent.name == "hub"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path
                assert node.level == 0 or node.module, f"{path}: `from . import x` is not copied to the Hub"
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not any(name.partition(".")[0] == PACKAGE for name in names), path


# What a single method is made of
LIBRARIES = {
    "strategies.lora": {"peft"},
    "strategies.contrastive": {"sentence_transformers"},
    "reweighting.boosting": {"sklearn"},
    "reweighting.density_ratio": {"sklearn"},
    "reweighting.kliep_solver": {"scipy"},
}


@pytest.mark.parametrize(
    "name", ["heads", "pretraining.heads", "strategies", "transforms", "objectives", "reweighting", "scores"]
)
def test_a_noun_knows_torch_its_own_kind_and_nobody_else(name):
    if name == "scores" and not below(name):
        return  # comes with a later step
    assert below(name)
    for module, found in below(name).items():
        assert third_party(found) <= {"torch", "numpy", *LIBRARIES.get(module.removeprefix(f"{PACKAGE}."), ())}, module
        assert own(found) <= {*below(name), f"{PACKAGE}.errors"}, module


def test_a_recipe_knows_the_nouns_alone():
    names = ("data.spec", "data.raw", "heads", "pretraining.heads", "strategies", "objectives", "backbones")
    nouns = {m for name in names for m in below(name)}
    nouns |= {f"{PACKAGE}.{name}" for name in ("pretraining.checks", "adaptation.checks")}
    nouns |= {f"{PACKAGE}.data.{name}" for name in ("mixture", "source_target")}
    found = OURS[f"{PACKAGE}.recipe"]
    assert own(found) <= {*nouns, PACKAGE, f"{PACKAGE}.errors", f"{PACKAGE}.readonly"}
    assert third_party(found) == set()
    found = OURS[f"{PACKAGE}.recipe_json"]
    assert own(found) <= {PACKAGE, f"{PACKAGE}.recipe", f"{PACKAGE}.errors"}
    assert third_party(found) == set()


def test_a_recipe_of_a_stranger_is_read_by_the_hubs_client_and_ourselves_alone():
    reads = {
        "errors",
        "flags",
        "hub_errors",
        "hub_recipe",
        "hub_space",
        "recipe",
        "recipe_json",
        "results",
        "training_fields",
    }
    for name in ("hub_recipe", "recipe_files", "untrusted"):
        found = OURS[f"{PACKAGE}.{name}"]
        assert own(found) <= {f"{PACKAGE}.{one}" for one in (*reads, "untrusted")}, name
        assert third_party(found) <= {"huggingface_hub"}, name
    # A recipe file of one's own is Python and is run; what came from the Hub is not.
    for name in ("hub_recipe", "untrusted", "recipe_json"):
        assert not touches(OURS[f"{PACKAGE}.{name}"], "importlib"), name


def test_the_card_knows_results_alone_and_only_the_run_knows_it():
    allowed = {
        *below("card"),
        f"{PACKAGE}.results",
        f"{PACKAGE}.task_results",
        f"{PACKAGE}.domain_results",
        f"{PACKAGE}.licenses",
        f"{PACKAGE}.scrub",
        f"{PACKAGE}.errors",
    }
    for module, found in below("card").items():
        assert own(found) <= allowed, module
        assert third_party(found) <= {"huggingface_hub", "jinja2", "matplotlib", "numpy", "yaml"}, module
    users = {module for module, found in OURS.items() if touches(found, f"{PACKAGE}.card")}
    # An average is a result of its own; the others put a table or a paragraph into the text of one.
    makers = ("single_task", "ensemble.publishing", "pretraining.path", "pretraining.card", "pipelines.report")
    makers += ("multitask.path", "multitask.exporting", "adaptation.picture")
    adders = ("ensemble.interpolation", "ensemble.soups", "seeds")
    adders += ("adaptation.picture",)  # names classes in the card's fonts
    assert users - set(below("card")) == {f"{PACKAGE}.{name}" for name in (*makers, *adders)}


def test_only_the_command_line_is_above_the_run():
    commands = {*below("commands"), f"{PACKAGE}.cli"}
    runs = {*commands, f"{PACKAGE}.seeds"}  # several runs of one recipe
    for name, allowed in (("runner", runs), ("commands", commands), ("helptext", commands), ("cli", set())):
        users = {module for module, found in OURS.items() if touches(found, f"{PACKAGE}.{name}")}
        assert users <= allowed, name


def test_the_package_knows_nothing_of_what_uses_it():
    for module, found in OURS.items():
        for outside in ("scripts", "benchmarks", "tests", "recipes", f"{PACKAGE}.recipes"):
            assert not touches(found, outside), (module, outside)


def test_recipes_use_public_names_and_not_one_another():
    recipes = modules(ROOT / "recipes", "hf_transfer.recipes")
    assert len([module for module in recipes if module.count(".") == 3]) >= 12
    public = {PACKAGE} | {f"{PACKAGE}.{name}" for name in hf_transfer.__all__}
    for module, found in recipes.items():
        assert found <= public, module


def test_no_circles():
    graph = {module: own(found) - {PACKAGE, module} for module, found in OURS.items()}
    # Importing a.b runs a/__init__ first, so a package's edges count for whoever reaches into it.
    done, path = set(), []

    def visit(module: str) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for target in sorted(graph[module]):
            if not module.startswith(target + "."):
                visit(target)
        path.pop()
        done.add(module)

    for module in sorted(graph):
        visit(module)


# ---------------------------------------------------------------------------------------------------------------------
# What naming things costs

LIGHT = (
    "errors",
    "arguments",
    "backbones",
    "cli",
    "commands.demo",
    "commands.running",
    "data",
    "data.spec",
    "demo",
    "flags",
    "heads",
    "helptext",
)
LIGHT += ("hub_errors", "hub_push", "objectives", "recipe", "results", "scrub", "strategies", "training_fields")
LIGHT += ("card", "history", "hub_card", "licenses")
LIGHT += ("hub_recipe", "recipe_files", "recipe_json", "untrusted")


def test_naming_listing_and_explaining_import_nothing_heavy():
    code = f"import sys\nimport {', '.join(f'{PACKAGE}.{name}' for name in LIGHT)}\n"
    code += f"print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_imported_and_is_what_it_says():
    # Whoever imports the modules first must not find one in the place of a function of the same name.
    import hf_transfer.runner  # noqa: F401

    for name in hf_transfer.__all__:
        value = getattr(hf_transfer, name)
        assert callable(value), name
        assert value.__name__ == name
