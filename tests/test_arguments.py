"""`TrainingArguments`: which source wins, and what transformers renamed."""

import pytest

from hf_transfer import UserError
from hf_transfer.arguments import build_arguments


def test_the_recipe_wins_over_the_defaults(tmp_path):
    args = build_arguments(tmp_path, {"learning_rate": 1e-3, "seed": 1}, ())
    assert (args.learning_rate, args.seed, args.eval_strategy.value) == (1e-3, 1, "epoch")
    assert args.remove_unused_columns is False  # the image column must reach the collator
    assert args.train_sampling_strategy == "random"  # steps on rows of one length at a time learn worse


def test_warmup_steps_take_a_ratio(tmp_path):
    """`warmup_ratio` and `overwrite_output_dir` are gone; a fraction of the steps is `warmup_steps` below 1."""
    assert build_arguments(tmp_path, {"warmup_steps": 0.1}, ()).get_warmup_steps(200) == 20
    with pytest.raises(UserError, match="warmup_ratio"):
        build_arguments(tmp_path, {"warmup_ratio": 0.1}, ())


def test_the_best_epoch_is_judged_the_right_way_round(tmp_path):
    by_accuracy = build_arguments(tmp_path, {"metric_for_best_model": "accuracy"}, ("accuracy",))
    assert by_accuracy.greater_is_better is True
    assert build_arguments(tmp_path, {"metric_for_best_model": "eval_mse"}, ("mse",)).greater_is_better is False
    assert build_arguments(tmp_path, {}, ()).greater_is_better is False


def test_what_this_package_sets_cannot_be_changed(tmp_path):
    with pytest.raises(UserError, match="remove_unused_columns"):
        build_arguments(tmp_path, {"remove_unused_columns": True}, ())
