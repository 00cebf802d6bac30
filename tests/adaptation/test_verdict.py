"""The verdict on a method, by the paired bootstrap."""

import numpy as np
import pytest

from hf_transfer.adaptation.verdict import HELPED, NEGATIVE, SAME, judge

LABELS = np.arange(200) % 2


def right_on(count: int) -> np.ndarray:
    """Logits of a model that gets the first `count` rows right."""
    said = np.where(np.arange(200) < count, LABELS, 1 - LABELS)
    return 4.0 * np.eye(2)[said]


@pytest.mark.parametrize(
    ("method", "baseline", "verdict", "words"),
    [(180, 120, HELPED, "Helped:"), (100, 160, NEGATIVE, "Negative transfer:"), (121, 120, SAME, "No difference")],
)
def test_the_verdict_is_that_of_the_interval(method, baseline, verdict, words):
    found = judge(right_on(method), right_on(baseline), LABELS)
    assert found["verdict"] == verdict and found["text"].startswith(words)
    assert (found["value"], found["baseline"]) == (method / 200, baseline / 200)
    assert found["difference"] == pytest.approx((method - baseline) / 200)
    low, high = found["ci95"]
    assert low <= found["difference"] <= high
    assert f"{method / 200:.4f}, {baseline / 200:.4f} from the source alone" in found["text"]
    assert found == judge(right_on(method), right_on(baseline), LABELS)


def test_of_an_error_less_is_better():
    numbers = np.linspace(0, 1, 60)
    near, far = numbers[:, None] + 0.01, numbers[:, None] + 0.5
    found = judge(near, far, numbers, "regression")
    assert found["verdict"] == HELPED and found["difference"] > 0 and found["ci95"][0] > 0
    assert judge(far, near, numbers, "regression")["verdict"] == NEGATIVE
