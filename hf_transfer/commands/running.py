"""`hf-transfer run` and `show`, and `scripts/run_recipe.py`: from the words of a command line to `runner.run`."""

import dataclasses
import json
import os
import sys
from contextlib import redirect_stdout

from .. import helptext
from ..errors import UserError
from ..flags import Flag, apply_overrides, check_training, parse_flags, recipe_flags, training_flags
from ..hub_recipe import HubRecipe, fetch, is_address
from ..licenses import settle_terms
from ..recipe import Pipeline, Recipe
from ..recipe_files import load_recipe, recipe_name
from ..recipe_json import pipeline_to_dict, recipe_to_dict
from ..stages import with_overrides
from ..untrusted import NEEDED
from . import listing
from .common import HELP, TRACEBACK, helped
from .pushing import PRIVATE, tell

RUN_FLAGS = {
    flag.name: flag
    for flag in (
        Flag("output_dir", ("str",), help="folder for the model and its results; by default the first free runs/NAME"),
        Flag("demo", ("bool",), help="take the embedded checkpoint and data set, which need no network"),
        Flag("show", ("bool",), help="print the resolved recipe as JSON and stop"),
        Flag("list", ("bool",), help="name all recipes and stop"),
        Flag("resume", ("bool",), help="go on from the last checkpoint in --output_dir"),
        Flag(
            "overwrite",
            ("bool",),
            help="replace the result in --output_dir once the new run has succeeded; other files stay",
        ),
        Flag("seeds", ("int",), help="train this often, with other seeds; keep the best on validation rows"),
        Flag("keep_all", ("bool",), help="with --seeds: keep every seed's whole result, in --output_dir/seeds"),
        Flag("keep_checkpoints", ("bool",), help="leave the checkpoints of training in --output_dir"),
        Flag(
            "dtype",
            ("str",),
            default="auto",
            help="precision of the computation; auto is the faster one by a committed table of measurements",
            choices=("auto", "float32", "bfloat16"),
        ),
        Flag(
            "probe_budget",
            ("bool",),
            help="time a few batch sizes here before features are extracted and take the fastest, which results.json "
            "records; another size than the default makes recorded features of its own",
        ),
        Flag(
            "license",
            ("str",),
            help="license of the model, as the Hub spells it (apache-2.0, cc-by-4.0); by default the base model's",
        ),
        Flag(
            "language",
            ("str", "list[str]"),
            help="of texts, as ISO 639 codes with commas between (en,zh); by default what the base model's card says",
        ),
        Flag("push_to_hub", ("bool",), help="upload the finished run to the Hub, in one commit"),
        Flag("hub_model_id", ("str",), help="where to: user/name, or name; by default the name of --output_dir"),
        PRIVATE,
        Flag(
            "start_from",
            ("str",),
            help="train a finished model further, its head too: the folder of a run, or user/name of a pushed one",
        ),
        Flag(
            "trust_remote_code",
            ("bool",),
            help="run the Python code that a checkpoint brings along; of the Hub, with --backbone.revision COMMIT",
        ),
        TRACEBACK,
    )
}


def show(words: list[str]) -> None:
    main(words, "hf-transfer show", show=True)


def main(words: list[str], command: str = "hf-transfer run", show: bool = False) -> None:
    """Everything up to the run itself needs neither torch nor transformers."""
    if "--list" in words:
        listing.main([])
        return
    words = _name_first(words)
    if not words or words[0].startswith("-"):
        usage = f"{command} NAME [flags]"
        text = "Train, measure and save what a recipe describes. `NAME --help` adds the flags of that recipe."
        if helped(words, usage, text, RUN_FLAGS):
            return
        raise UserError(f"name a recipe first ({usage}); --list names them all")
    name, rest = words[0], words[1:]
    recipe, of_hub = _load(name)
    if any(word in HELP for word in rest):
        print(helptext.recipe_help(recipe, name, command, RUN_FLAGS))
        return

    for one in getattr(recipe, "recipes", (recipe,)):
        check_training(one.training, where=f"recipe {name}: training")
    known = {**training_flags(recipe), **recipe_flags(recipe), **RUN_FLAGS}
    values = parse_flags(rest, known, recipe)
    own = {flag: values.pop(flag, RUN_FLAGS[flag].default) for flag in RUN_FLAGS}
    if own["demo"]:
        from ..demo import demo_recipe

        recipe = demo_recipe(recipe)
    recipe, training = apply_overrides(recipe, values)
    license, language = settle_terms(own["license"], own["language"])
    if show or own["show"]:
        resolved = with_overrides(recipe, training)
        write = pipeline_to_dict if isinstance(recipe, Pipeline) else recipe_to_dict
        print(json.dumps(write(resolved), indent=2, ensure_ascii=False))
        return
    start = own["start_from"]
    if of_hub is not None:
        if start and getattr(recipe.backbone, "checkpoint", None) == NEEDED["backbone.checkpoint"]:
            # Backbone and head come with the finished model; where its own checkpoint was, nobody needs to know.
            backbone = dataclasses.replace(recipe.backbone, checkpoint=start.removeprefix("hub://").partition("@")[0])
            recipe = dataclasses.replace(recipe, backbone=backbone)
        of_hub.check_complete(recipe)

    from ..network import go_offline_if_unreachable

    inner = getattr(recipe, "recipes", (recipe,))
    sources = [source for one in inner for source in ([start] if start else _checkpoints(one)) + _rows(one)]
    if own["push_to_hub"] or not all(map(os.path.exists, sources)):
        go_offline_if_unreachable()
    if own["push_to_hub"] and isinstance(recipe, Pipeline):
        raise UserError("--push_to_hub: a pipeline leaves several models; push the one you want when it has ended")
    target = _push_target(own)

    result = _train(
        recipe,
        own,
        name=recipe_name(name),
        resume=bool(own["resume"]),
        overwrite=bool(own["overwrite"]),
        keep_checkpoints=bool(own["keep_checkpoints"]),
        trust_remote_code=bool(own["trust_remote_code"]),
        start_from=own["start_from"],
        dtype=own["dtype"],
        probe_budget=bool(own["probe_budget"]),
        license=license,
        language=language,
        **training,
    )
    if "LOCAL_RANK" in os.environ:
        from ..processes import part

        part()
    if target is not None and _leads():
        tell(result.push_to_hub(target, private=own["hub_private_repo"]))


def _train(recipe: Recipe, own: dict, **settings):
    """Run the recipe, or with --seeds run it so many times."""
    if own["seeds"] is None:
        if own["keep_all"]:
            raise UserError("--keep_all says what stays of several seeds; add --seeds COUNT")
        from ..runner import run

        return run(recipe, own["output_dir"], **settings)
    from .. import folders
    from ..seeds import run_seeds

    output_dir = own["output_dir"] or folders.choose(settings["name"])
    return run_seeds(recipe, output_dir, own["seeds"], keep_all=bool(own["keep_all"]), **settings)


def _load(name: str) -> tuple[Recipe, HubRecipe | None]:
    """Load a recipe; of one from the Hub, say first what is not taken of it."""
    if not is_address(name):
        return load_recipe(name), None
    from ..network import go_offline_if_unreachable

    with redirect_stdout(sys.stderr):  # what `show` prints is JSON, and nothing else
        go_offline_if_unreachable()
    found = fetch(name)
    for line in found.lines() if _leads() else ():
        print(line, file=sys.stderr, flush=True)
    return found.recipe, found


def _checkpoints(recipe) -> list[str]:
    return [part.checkpoint for part in getattr(recipe.backbone, "parts", {"": recipe.backbone}).values()]


def _rows(recipe) -> list:
    train = recipe.data.train
    return list(train) if isinstance(train, tuple) else [train]  # of several tasks or two domains, each


def _push_target(own: dict) -> str | None:
    """Ask the Hub, before hours of training, whether it would take the result; returns the repository's name."""
    if not own["push_to_hub"]:
        for flag in ("hub_model_id", "hub_private_repo"):
            if own[flag] is not None:
                raise UserError(f"--{flag} says how to push, which nothing asks for; add --push_to_hub")
        return None
    name = own["hub_model_id"] or os.path.basename(os.path.normpath(own["output_dir"] or ""))
    if name in ("", "."):
        raise UserError("--push_to_hub needs --hub_model_id user/name, or an --output_dir to take the name from")
    if not _leads():
        return name
    from ..hub_push import check_push

    return check_push(name)


def _leads() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _name_first(words: list[str]) -> list[str]:
    """Move our own switches behind the name: `--demo NAME` is as good as `NAME --demo`."""
    count = 0
    while count < len(words) and words[count][2:] in RUN_FLAGS and "bool" in RUN_FLAGS[words[count][2:]].types:
        count += 1
    return words[count:] + words[:count]
