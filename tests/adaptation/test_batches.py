"""Which rows of both domains stand together, what they weigh, and what a step minimises."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hf_transfer.adaptation.rows import DomainCollator, DomainRows, Weighted
from hf_transfer.adaptation.sampling import DomainBatches


def epoch(number: int = 0, **changes) -> list[list[int]]:
    settings = dict(source=23, pools=[range(23, 30), range(30, 60)], batch_size=8)
    batches = DomainBatches(**{**settings, **changes})
    batches.set_epoch(number)
    return list(batches)


def test_every_batch_holds_both_domains_in_equal_parts():
    batches = epoch()
    assert sorted(row for batch in batches for row in batch if row < 23) == list(range(23))
    for batch in batches:
        source = sum(row < 23 for row in batch)
        assert len(batch) == 2 * source or source < 2
        assert abs(sum(23 <= row < 30 for row in batch) - sum(row >= 30 for row in batch)) <= 1


def test_the_rows_of_a_pool_take_turns():
    seen = [row for number in range(7) for batch in epoch(number) for row in batch if row >= 30]
    assert len(seen) > 60
    for turn in range(len(seen) // 30):
        assert sorted(seen[30 * turn : 30 * (turn + 1)]) == list(range(30, 60))
    assert seen[:30] != seen[30:60]


def test_an_epoch_depends_on_its_number_and_the_seed_alone():
    assert epoch(3) == epoch(3) != epoch(4)
    assert epoch(3, seed=1) != epoch(3)


def test_ranks_share_each_batch_out():
    whole = epoch(batch_size=16)
    shares = [epoch(batch_size=8, ranks=2, rank=rank) for rank in (0, 1)]
    assert len(whole) == len(shares[0]) == len(shares[1])
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(batch) == sorted(row for part in parts for row in part)
        for part in parts:  # each has rows of both
            assert any(row < 23 for row in part) and any(row >= 23 for row in part)


class Encoded:
    """Rows as `datasets` gives them."""

    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitems__(self, numbers):
        return [{"x": self.values[number]} for number in numbers]


def test_a_batch_says_of_each_row_its_domain_its_label_and_its_weight():
    rows = DomainRows(
        [Encoded([0, 1, 2]), Encoded([10, 11])],
        [np.array([1, 0, 1]), np.array([-100, 0])],
        [np.array([0.5, 1.5, 1.0]), np.array([0.0, 3.0])],
    )
    batch = DomainCollator(lambda found: {"x": torch.tensor([row["x"] for row in found])})(
        rows.__getitems__([4, 1, 3])
    )
    assert {name: value.tolist() for name, value in batch.items()} == {
        "x": [1, 11, 10], "labels": [0, 0, -100], "weight": [1.5, 3.0, 0.0], "domain": [0, 1, 1],
        "share": [1.0, 0.0, 0.0],
    }  # fmt: skip


def test_recorded_tokens_of_both_domains_are_padded_together():
    class Recorded(Encoded):
        def __getitems__(self, numbers):
            longest = max(self.values[number] for number in numbers)
            mask = torch.tensor([[1] * self.values[n] + [0] * (longest - self.values[n]) for n in numbers])
            return {"tokens": mask.unsqueeze(-1).float(), "mask": mask, "pooled": mask.sum(1, keepdim=True).float()}

    rows = DomainRows([Recorded([2, 3]), Recorded([5])], [np.zeros(2), np.zeros(1)], [np.ones(2), np.ones(1)])
    batch = DomainCollator(lambda found: found)(rows.__getitems__([0, 2, 1]))
    assert batch["tokens"].shape == (3, 5, 1) and batch["mask"].sum(1).tolist() == [2, 3, 5]
    assert batch["pooled"].squeeze(1).tolist() == [2, 3, 5]


def test_rows_to_choose_by_may_have_weights():
    assert Weighted(Encoded([1, 2])).__getitems__([1]) == ([[{"x": 2}]], {})
    assert Weighted(Encoded([1, 2]), np.array([0.5, 1.5])).__getitems__([1])[1]["weight"].tolist() == [1.5]


@pytest.mark.parametrize("compares", [False, True])
def test_a_step_is_source_loss_plus_lambda_times_target_loss(compares, recipe_of, tmp_path, monkeypatch):
    """min L_S + lambda L_T + Omega, to the letter: on one full batch the logged parts are those numbers."""
    from hf_transfer import FullFineTune, Supervised, run
    from hf_transfer.adaptation.trainer import AdaptationTrainer
    from hf_transfer.objectives.domain import EntropyMinimisation
    from hf_transfer.objectives.domain.unlabelled_terms import entropy

    seen, compute = [], AdaptationTrainer.compute_loss

    def keep(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        found = dict(inputs)
        loss, outputs = compute(self, model, inputs, True, num_items_in_batch)
        if num_items_in_batch is not None:
            seen.append((loss.item(), outputs.logits.detach().float(), found))
        return (loss, outputs) if return_outputs else loss

    monkeypatch.setattr(AdaptationTrainer, "compute_loss", keep)
    plain = EntropyMinimisation(begins=0.0, full=0.0, aligned=False)
    objective = Supervised() + 0.5 * plain if compares else Supervised()
    data = dict(target_labels=True, target_weight=0.3, selection="source", baseline=False)
    training = dict(max_steps=2, per_device_train_batch_size=32, learning_rate=1e-3)
    recipe = recipe_of(data, "partly", strategy=FullFineTune(), objective=objective, training=training)
    run(recipe, tmp_path / "out", dtype="float32")
    assert len(seen) == 2
    for loss, logits, batch in seen:
        source, labelled = batch["domain"] == 0, (batch["domain"] == 1) & (batch["labels"] >= 0)
        rows = F.cross_entropy(logits, batch["labels"], reduction="none")
        # 56 rows are four batches of 14 source rows; labelled target rows are as many, or half beside those without.
        assert source.sum() == 14 and labelled.sum() == (7 if compares else 14)
        wanted = rows[source].mean() + 0.3 * rows[labelled].mean()
        if compares:
            wanted = wanted + 0.5 * entropy(logits[batch["labels"] < 0]).mean()
        assert loss == pytest.approx(wanted.item(), rel=1e-5)
