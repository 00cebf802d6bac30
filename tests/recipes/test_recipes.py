"""Every shipped recipe, without running it; two steps of each are run elsewhere."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hf_transfer import Pipeline, Recipe, flags
from hf_transfer.adaptation.checks import adapts
from hf_transfer.linear.choice import settle_fit
from hf_transfer.pretraining.checks import pretrains
from hf_transfer.recipe_files import list_recipes, load_recipe
from hf_transfer.recipe_json import pipeline_from_dict, pipeline_to_dict, recipe_from_dict, recipe_to_dict
from hf_transfer.stages import stages_of

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    path.relative_to(ROOT / "recipes").with_suffix("").as_posix(): path
    for path in sorted((ROOT / "recipes").glob("*/*.py"))
    if path.name != "__init__.py"
}
# kind of head, of strategy, and what else makes the recipe what its name says
TABLE = {
    "text/linear_probe": ("LinearHead", "FrozenFeatures", {}),
    "text/mlp_frozen": ("MLPHead", "FrozenFeatures", {}),
    "text/lstm_frozen": ("LSTMHead", "FrozenFeatures", {"head.num_layers": 2, "head.bidirectional": True}),
    "text/gru_frozen": ("GRUHead", "FrozenFeatures", {"head.num_layers": 2}),
    "text/attention_frozen": ("AttentionHead", "FrozenFeatures", {}),
    "text/layer_mix": ("LinearHead", "FrozenFeatures", {"backbone.fusion.method": "scalar_mix"}),
    "vision/layer_mix": ("LinearHead", "FrozenFeatures", {"backbone.fusion.method": "scalar_mix"}),
    "text/lstm_full": ("LSTMHead", "FullFineTune", {"head.num_layers": 2, "head.bidirectional": True}),
    "text/lstm_embeddings": ("LSTMHead", "FullFineTune", {"backbone.embeddings_only": True}),
    "text/full_finetune": ("NativeHead", "FullFineTune", {}),
    "text/chinese_full": ("NativeHead", "FullFineTune", {}),
    "text/lp_ft": ("LinearHead", "tuple", {"backbone.pooling": "mean"}),
    "text/gradual_unfreeze": ("LinearHead", "GradualUnfreeze", {"strategy.slanted_triangular": True}),
    "text/lora": ("LinearHead", "LoRA", {"strategy.rank": 8}),
    "text/few_shot": ("LinearHead", "tuple", {"data.train_per_class": 8}),
    "text/l2_sp": ("LinearHead", "FullFineTune", {"objective.2.alpha": 0.01, "objective.weights": (1.0, 1.0)}),
    "pretraining/mlm": ("MaskedLMHead", "FullFineTune", {"head.probability": 0.15}),
    "pretraining/simclr": ("ProjectionHead", "FullFineTune", {}),
    "pretraining/supervised_source": ("NativeHead", "FullFineTune", {}),
    "multitask/glue_pair": ("NativeHead", "FullFineTune", {"data.sampling": "temperature", "data.temperature": 2.0}),
    **{
        f"adaptation/{name}_{kind}": ("LinearHead", "FrozenFeatures", values)
        for kind in ("text", "image")
        for name, values in (
            ("source_only", {"data.align": "none"}),
            ("coral", {"data.align": "coral"}),
            ("reweighted_kmm", {"data.weights.bound": 10.0, "data.selection": "weighted"}),
            ("tradaboost", {"data.weights.rounds": 20, "data.target_labels": True, "data.target.train_per_class": 50}),
        )
    },
    **{
        f"adaptation/{name}_{kind}": ("LinearHead", "FullFineTune", values)
        for kind in ("text", "image")
        for name, values in (
            ("dann", {"objective.2.hidden_size": 256}),
            ("mmd", {"objective.2.unbiased": True}),
            ("self_training", {"objective.2.threshold": 0.95}),
        )
    },
    "vision/lp_ft": ("LinearHead", "tuple", {}),
    "vision/layer_decay": ("LinearHead", "FullFineTune", {"strategy.layer_decay": 0.75}),
    "vision/linear_probe": ("LinearHead", "FrozenFeatures", {}),
    "vision/full_finetune": ("NativeHead", "FullFineTune", {"data.train": "uoft-cs/cifar10"}),
    "vision/resnet50_head": ("NativeHead", "FrozenFeatures", {}),
    "vision/vgg16_mlp": ("MLPHead", "FrozenFeatures", {"head.hidden_sizes": (1024, 512)}),
    "vision/inception_probe": ("LinearHead", "FrozenFeatures", {}),
    "text/fused_encoders": ("LinearHead", "FrozenFeatures", {"backbone.fusion": "concat"}),
    "vision/fused_nets": ("LinearHead", "FrozenFeatures", {"backbone.fusion": "weighted", "backbone.alpha": None}),
    "multimodal/text_image": ("LinearHead", "FrozenFeatures", {"data.text": "productDisplayName"}),
}
NETS = {
    "vision/full_finetune": "timm/resnet18.",
    "vision/resnet50_head": "timm/resnet50.",
    "vision/vgg16_mlp": "timm/vgg16.",
    "vision/inception_probe": "timm/inception_v3.",
}


PIPELINES = sorted(name for name in FILES if name.startswith("pipelines/"))  # of recipes that are tested themselves
RECIPES = sorted(set(FILES) - set(PIPELINES))


def fits_of(recipe) -> list[str]:
    return [settle_fit(one, one.strategy.frozen_depth(1) >= 1, named) for one, named in stages_of(recipe)]


def checkpoints_of(recipe) -> list[str]:
    return [part.checkpoint for part in getattr(recipe.backbone, "parts", {"": recipe.backbone}).values()]


def test_the_recipes_are_those_of_the_table():
    assert set(TABLE) <= set(FILES)
    assert set(FILES) == set(list_recipes())


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_recipe_is_what_its_name_says(name):
    recipe = load_recipe(name)
    head, strategy, values = TABLE[name]
    assert (type(recipe.head).__name__, type(recipe.strategy).__name__) == (head, strategy)
    found = {flag.name: flag.default for flag in flags.recipe_flags(recipe).values()}
    assert {key: found[key] for key in values} == values
    assert checkpoints_of(recipe)[0].startswith(NETS.get(name, ""))


def test_the_linear_probes_are_solved_and_nothing_else_is():
    recipes = {name: load_recipe(name) for name in RECIPES}
    solved = {name for name, recipe in recipes.items() if "lbfgs" in fits_of(recipe)}
    assert solved == {
        "text/few_shot", "text/linear_probe", "text/lp_ft", "vision/linear_probe", "vision/lp_ft",
        "vision/inception_probe", "text/fused_encoders", "multimodal/text_image",
        *(f"adaptation/{one}_{kind}" for kind in ("text", "image")
          for one in ("source_only", "coral", "reweighted_kmm", "tradaboost")),
    }  # fmt: skip


def test_the_sgd_recipe_has_momentum():
    training = load_recipe("vision/resnet50_head").training
    assert (training["optim"], training["optim_args"]) == ("sgd", "momentum=0.9")


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_is_complete(name):
    pipeline = load_recipe(name)
    assert isinstance(pipeline, Pipeline) and set(pipeline.names) <= set(RECIPES)
    assert len({one.backbone.checkpoint for one in pipeline.recipes}) == 1  # or two things would differ
    assert pipeline_from_dict(json.loads(json.dumps(pipeline_to_dict(pipeline)))) == pipeline


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_complete(name):
    recipe = load_recipe(name)
    assert isinstance(recipe, Recipe)
    flags.check_training(recipe.training, where=name)
    if "sgd" in fits_of(recipe):
        assert {"learning_rate", "num_train_epochs", "per_device_train_batch_size"} <= set(recipe.training)
    # Real defaults: an organisation and a name for both, and all three splits stated.
    assert all(name.count("/") == 1 for name in checkpoints_of(recipe))
    if adapts(recipe):
        assert recipe.data.target.train.count("/") == 1 and recipe.data.test is not None
    inner = {"source": recipe.data.source} if adapts(recipe) else getattr(recipe.data, "tasks", {"": recipe.data})
    for data in inner.values():  # of several tasks, each
        assert data.train.count("/") == 1
        assert data.validation is not None and (pretrains(recipe) or data.test is not None)
    assert recipe.summary == recipe.summary.strip() and len(recipe.summary) <= 100
    assert recipe_from_dict(json.loads(json.dumps(recipe_to_dict(recipe)))) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_the_training_fields_build_the_class(name, tmp_path):
    from transformers import TrainingArguments

    training = load_recipe(name).training
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **training)
    assert all(getattr(arguments, name) == value for name, value in training.items() if name != "optim_args")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_recipe_is_short_and_says_how_to_launch_it(name):
    source = FILES[name].read_text(encoding="utf-8")
    two = "FusedBackbone" in source or "SourceTarget" in source  # backbones, or data sets
    assert len(source.splitlines()) <= (30 if two else 24)
    assert f"accelerate launch scripts/run_recipe.py {name}\n" in ast.get_docstring(ast.parse(source)) + "\n"


def test_recipes_load_without_anything_heavy(tmp_path):
    code = (
        "import sys; from hf_transfer.recipe_files import list_recipes; print(len(list_recipes()),"
        "[name for name in ('torch', 'transformers', 'datasets', 'pandas', 'numpy', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(" ", 1) == [str(len(FILES)), "[]\n"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes/accelerate_configs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_an_accelerate_config_is_one_accelerate_reads(path):
    from accelerate.commands.config.config_args import load_config_from_file

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    # With MULTI_CPU, or --cpu and two processes, the launcher quietly starts one.
    assert content["distributed_type"] in ("NO", "MULTI_GPU")
    assert content["num_processes"] == 1 or content["distributed_type"] == "MULTI_GPU"
    assert content["mixed_precision"] == ("bf16" if path.stem.endswith("bf16") else "no")
    config = load_config_from_file(str(path))
    assert config.num_processes == content["num_processes"]


def test_the_accelerate_configs_were_found():
    names = {path.stem for path in (ROOT / "recipes/accelerate_configs").glob("*")}
    assert names == {"single_gpu", "single_gpu_bf16", "multi_gpu", "multi_gpu_bf16"}
