"""What Trainer logged becomes one entry per step."""

from hf_transfer.history import history_of


def test_one_entry_per_step_in_order():
    log = [
        {"loss": 0.9, "grad_norm": 1.0, "learning_rate": 2e-3, "epoch": 1.0, "step": 5},
        {"eval_loss": 0.7, "eval_accuracy": 0.5, "eval_runtime": 0.1, "eval_samples_per_second": 9.0,
         "eval_steps_per_second": 9.0, "eval_model_preparation_time": 0.1, "epoch": 1.0, "step": 5},
        {"loss": 0.6, "learning_rate": 1e-3, "epoch": 1.5, "step": 8},
        {"eval_loss": 0.5, "epoch": 2.0, "step": 10},
        {"train_runtime": 3.0, "train_loss": 0.7, "epoch": 2.0, "step": 10},
    ]  # fmt: skip
    assert history_of(log) == [
        {"epoch": 1.0, "step": 5, "learning_rate": 2e-3, "train_loss": 0.9,
         "validation": {"loss": 0.7, "accuracy": 0.5}},
        {"epoch": 1.5, "step": 8, "learning_rate": 1e-3, "train_loss": 0.6},
        {"epoch": 2.0, "step": 10, "validation": {"loss": 0.5}},
    ]  # fmt: skip
    assert history_of([]) == []
    assert history_of(log[-1:]) == []  # the summary alone is no step


def test_the_parts_of_a_sum_stand_beside_it():
    log = [{"loss": 0.9, "loss_task": 0.7, "loss_l2_sp": 0.2, "epoch": 1.0, "step": 5}]
    assert history_of(log) == [
        {"epoch": 1.0, "step": 5, "train_loss": 0.9, "train_parts": {"task": 0.7, "l2_sp": 0.2}}
    ]


def test_an_evaluation_before_the_first_step_is_the_first_entry():
    log = [{"eval_loss": 0.7, "epoch": 0, "step": 0}, {"loss": 0.6, "learning_rate": 1e-3, "epoch": 1.0, "step": 4}]
    assert [entry["step"] for entry in history_of(log)] == [0, 4]
