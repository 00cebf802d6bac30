"""Two models on the same test rows: which is better, and is it more than chance?"""

from ..data import labels_of, load_data
from ..metrics import HEADLINE
from ..predictor import load
from ..results import RunResult, number, title
from ..scoring import paired_bootstrap


def compare(target: RunResult, baseline: RunResult, spec) -> dict:
    """Compare two finished runs on the test rows of `spec`.

    Returns:
        `dict`: `metric`; `value` of the target, `baseline`; `difference` in favour of the target, and its `ci95` by
        the paired bootstrap; `verdict`, one of better, worse and no difference; `text`, a sentence.
    """
    name, higher = HEADLINE[target.problem_type]
    logits, labels = [], None
    for result in (target, baseline):
        predictor = load(result.output_dir)
        rows = load_data(spec, label_order=predictor.labels.names, progress=False).test
        labels = labels_of(rows)
        logits.append(predictor.logits(rows.remove_columns("label"), "compare"))
    gain, interval = paired_bootstrap(*logits, labels, target.problem_type, name)
    if not higher:
        gain, interval = -gain, (-interval[1], -interval[0])
    verdict = "better" if interval[0] > 0 else "worse" if interval[1] < 0 else "no difference"
    shown = f"test {title(name)} changes by {gain if higher else -gain:+.4f}"
    values = f"{number(baseline.headline['value'])} without, {number(target.headline['value'])} with"
    words = {
        "better": "Better with what came first",
        "worse": "Worse with what came first",
        "no difference": "No difference within the interval",
    }
    return {
        "metric": name,
        "value": target.headline["value"],
        "baseline": baseline.headline["value"],
        "difference": gain,
        "ci95": list(interval),
        "verdict": verdict,
        "text": f"{words[verdict]}: {shown} ({values}; 95% interval of the gain {interval[0]:+.4f} to "
        f"{interval[1]:+.4f}, over the choice of test rows, not of the training seed).",
    }
