"""Did a method do any good on the target?"""

import numpy as np

from ..metrics import HEADLINE, METRICS
from ..results import number, title
from ..scoring import paired_bootstrap, probabilities

HELPED, SAME, NEGATIVE = "helped", "no difference", "negative transfer"
_WORDS = {HELPED: "Helped", SAME: "No difference within the interval", NEGATIVE: "Negative transfer"}


def judge(method_logits, source_only_logits, labels, problem_type: str = "single_label_classification") -> dict:
    """Compare a method with the same training on the source alone, on labelled target rows that neither has seen.

    Args:
        method_logits, source_only_logits (`np.ndarray` of shape `(rows, num_labels)`).
        labels (`np.ndarray`): the truth.
        problem_type (`str`): a key of `HEADLINE`.

    Returns:
        `dict`: `metric`; `value` of the method, `baseline` of source-only; `difference` in favour of the method, and
        its `ci95` by the paired bootstrap; `verdict`, one of "helped", "no difference" and "negative transfer";
        `text`, a sentence.
    """
    name, higher = HEADLINE[problem_type]
    labels = np.asarray(labels, np.float64)
    value, baseline = (
        float(METRICS[name]().value(probabilities(logits, problem_type), labels))
        for logits in (method_logits, source_only_logits)
    )
    gain, (low, high) = paired_bootstrap(method_logits, source_only_logits, labels, problem_type, name)
    if not higher:
        gain, low, high = -gain, -high, -low
    verdict = HELPED if low > 0 else NEGATIVE if high < 0 else SAME
    return {
        "metric": name,
        "value": value,
        "baseline": baseline,
        "difference": gain,
        "ci95": [low, high],
        "verdict": verdict,
        "text": f"{_WORDS[verdict]}: target {title(name)} {number(value)}, {number(baseline)} from the source alone "
        f"(95% interval of the gain {low:+.4f} to {high:+.4f}, over the choice of test rows, not of the training "
        "seed).",
    }
