"""Several recipes in one command: what each starts from, what pretraining may not read, what is told in the end."""

import json

import numpy as np
import pytest
from mini import make_texts, write_csv

from hf_transfer import (
    LinearHead,
    MaskedLMHead,
    NativeHead,
    Pipeline,
    RawText,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    load_recipe,
    run,
)
from hf_transfer.flags import apply_overrides, parse_flags, recipe_flags, training_flags
from hf_transfer.hub_push import pushable
from hf_transfer.places import places, put
from hf_transfer.recipe_json import pipeline_from_dict, pipeline_to_dict, recipe_from_dict
from hf_transfer.scoring import paired_bootstrap
from hf_transfer.training import Interrupted

NAME = "pipelines/pretrain_then_transfer"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, mini_text):
    rows = write_csv(tmp_path_factory.mktemp("rows") / "rows.csv", ["text", "label"], make_texts(80))
    backbone = TextBackbone(str(mini_text), max_length=32)
    training = dict(num_train_epochs=1, per_device_train_batch_size=8, learning_rate=3e-3)
    return Pipeline(
        (
            Recipe(
                summary="read", data=RawText(str(rows)), backbone=backbone, head=MaskedLMHead(), training=training
            ),
            Recipe(
                summary="learn", data=TextClassification(str(rows)), backbone=backbone, head=NativeHead(),
                training=training,
            ),
        ),
        names=("read", "learn"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(pipeline, tmp_path_factory):
    return run(pipeline, tmp_path_factory.mktemp("out") / "pipe", name="mine", farewell=False)


def test_the_target_runs_with_and_without_what_came_first(done, pipeline):
    folder = done.output_dir
    names = ["1-read", "2-learn", "baseline"]
    assert [part["folder"] for part in done.data["parts"]] == names
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == names
    first, second, base = (json.loads((folder / name / "recipe.json").read_text()) for name in names)
    assert second["backbone"]["checkpoint"] == str(folder / "1-read")
    assert base["backbone"]["checkpoint"] == first["backbone"]["checkpoint"] == pipeline.recipes[1].backbone.checkpoint
    results = [json.loads((folder / name / "results.json").read_text()) for name in names[1:]]
    assert results[0]["data"] == results[1]["data"]  # the very same rows
    told = done.data["comparison"]
    assert told["difference"] == pytest.approx(told["value"] - told["baseline"])
    assert told["ci95"][0] <= told["difference"] <= told["ci95"][1]
    assert told["verdict"] in ("better", "worse", "no difference")
    card = (folder / "README.md").read_text()
    assert told["text"] in card and "did not see" in card


def test_pretraining_does_not_see_the_targets_test_texts(done, pipeline):
    from hf_transfer.data import load_data, load_raw
    from hf_transfer.data.raw_loading import content_keys

    read, learn = pipeline.recipes
    splits = load_data(learn.data)
    held_out = content_keys(splits.test) | content_keys(splits.validation)
    dropped = done.data["parts"][0]["dropped"]
    assert dropped["held_out"] >= len(held_out) > 0
    raw = load_raw(read.data, held_out=held_out)
    assert not (content_keys(raw.train) | content_keys(raw.validation)) & held_out
    assert len(raw.train) == json.loads((done.output_dir / "1-read/results.json").read_text())["data"]["train"]


def test_the_folder_of_the_whole_is_no_model(done):
    for action in (load, pushable):
        with pytest.raises(UserError, match="pipeline"):
            action(done.output_dir)
    assert load(done.output_dir / "2-learn").predict(["a great film"])
    assert pushable(done.output_dir / "2-learn")


def test_a_stopped_pipeline_goes_on_where_it_was(pipeline, done, tmp_path, monkeypatch):
    from hf_transfer.callbacks import StopOnSignal

    end, steps = StopOnSignal.on_step_end, []

    def on_step_end(self, args, state, control, **kwargs):
        steps.append(state.global_step)
        self.stopped = self.stopped or (len(steps) == 9)  # in the second part
        end(self, args, state, control, **kwargs)

    monkeypatch.setattr(StopOnSignal, "on_step_end", on_step_end)
    folder = tmp_path / "pipe"
    with pytest.raises(Interrupted, match="--resume"):
        run(pipeline, folder, name="mine", farewell=False)
    assert not (folder / "results.json").exists()
    stamp = (folder / "1-read/results.json").stat().st_mtime_ns
    result = run(pipeline, folder, name="mine", resume=True, farewell=False)
    assert (folder / "1-read/results.json").stat().st_mtime_ns == stamp  # not done again
    assert result.data["parts"][1]["metrics"] == done.data["parts"][1]["metrics"]
    assert result.data["comparison"] == done.data["comparison"]
    assert not (folder / "checkpoints").exists()


def test_flags_speak_of_one_recipe_or_of_all():
    pipeline = load_recipe(NAME)
    known = {**training_flags(pipeline), **recipe_flags(pipeline)}
    words = (
        "--1.head.probability 0.3 --2.num_train_epochs 7 --pipeline.transductive true --1.data.train raw.txt --seed 5"
    )
    changed, training = apply_overrides(pipeline, parse_flags(words.split(), known, pipeline))
    assert changed.recipes[0].head.probability == 0.3 and changed.transductive
    assert changed.recipes[0].data == RawText("raw.txt")  # columns and splits are automatic again
    assert changed.recipes[1].training["num_train_epochs"] == 7 and training == {"seed": 5}
    assert changed.recipes[0].training == pipeline.recipes[0].training
    for place, noun in places(pipeline).items():
        assert put(pipeline, place, noun) == pipeline, place
    with pytest.raises(UserError, match="did you mean --1.head.probability"):
        parse_flags(["--1.head.probabilty", "0.3"], known, pipeline)


def test_a_pipeline_survives_json_and_no_stranger_can_send_one():
    pipeline = load_recipe(NAME)
    content = json.loads(json.dumps(pipeline_to_dict(pipeline)))
    assert pipeline_from_dict(content) == pipeline
    with pytest.raises(UserError, match="unknown field"):
        recipe_from_dict(content)  # what reads a recipe of the Hub


@pytest.mark.parametrize(
    ("recipes", "said"),
    [
        (("text/full_finetune",), "two or more"),
        ((1, 2), "two or more"),
        ((load_recipe("vision/linear_probe"), load_recipe("text/linear_probe")), "texts and one on images"),
        ((load_recipe("text/linear_probe"), load_recipe("pretraining/mlm")), "comes last"),
    ],
)
def test_what_is_no_pipeline_is_refused(recipes, said):
    with pytest.raises(UserError, match=said):
        Pipeline(recipes)


def test_the_paired_interval_is_that_of_the_difference():
    """Two models that differ on a tenth of the rows: the difference is 0.1 with a standard error of sqrt(0.09 / n)."""
    labels = np.zeros(1000)
    right = np.tile([1.0, 0.0], (1000, 1))
    wrong = right.copy()
    wrong[::10] = [0.0, 1.0]
    gain, (low, high) = paired_bootstrap(right, wrong, labels, "single_label_classification", "accuracy")
    assert gain == pytest.approx(0.1)
    assert (low, high) == pytest.approx((0.1 - 1.96 * 0.0095, 0.1 + 1.96 * 0.0095), abs=0.004)
    same, interval = paired_bootstrap(wrong, wrong, labels, "single_label_classification", "accuracy")
    assert (same, *interval) == (0, 0, 0)


def test_a_linear_target_pools_alike_in_both_arms(done, tmp_path, mini_text):
    """What `pooling="auto"` stands for does not change with the training between."""
    before, after = (TextBackbone(str(path), max_length=32) for path in (mini_text, done.output_dir / "1-read"))
    assert after.resolve_pooling(after.load_config())[0] == "mean"  # it had a pooler, which no masked model has
    assert LinearHead().reads == "pooled" and before.resolve_pooling(before.load_config())[0] == "pooler"
