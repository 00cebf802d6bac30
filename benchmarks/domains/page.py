"""docs/adaptation.md from the results file; nothing here is written by hand."""

import statistics
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from .cells import LABELLED
from .pairs import IMAGE_SIZE, PAIRS, RATES
from .summary import (
    READS_LABELS,
    accuracies,
    cells_of,
    choice,
    chosen,
    measured,
    oracle,
    share_closed,
    source_only,
    trained_cells,
    trained_choice,
)
from .trained import PROJECTION

DOCS = Path(__file__).resolve().parents[2] / "docs"
NETS = {"frozen": "pretrained, frozen", "tuned": "fine-tuned on the source"}
REACHES = {"projection": "a layer more, on its features", "whole": "the whole net"}
TERMS = {
    "source_only": "no term",
    "dann": "DANN",
    "cdan": "CDAN",
    "deep_coral": "Deep CORAL",
    "mmd": "MMD",
    "mcc": "MCC",
}
CHANCE = 0.4  # below, a source-only baseline proves nothing


def write_page(content: Mapping, docs: Path = DOCS) -> None:
    """Write `adaptation.md` into `docs`."""
    if not content["cells"]:
        raise SystemExit("nothing has been measured yet; run benchmarks/adaptation.py")
    docs.mkdir(exist_ok=True)
    (docs / "adaptation.md").write_text(page(content), encoding="utf-8")


def page(content: Mapping) -> str:
    """Return the Markdown."""
    from hf_transfer.adaptation.cheap import DEFAULT

    pairs = list(dict.fromkeys(pair for pair, _ in measured(content)))
    parts = [
        "# Across domains",
        "Written by `benchmarks/adaptation.py` from `benchmarks/results/adaptation.json`. What learns from a labelled "
        "source for an unlabelled target: cheap methods, linear layers over recorded features, and methods that train "
        "with a term between the domains. Accuracies are on held-out target rows.",
        "## The choice without target labels",
        f"Of the cheap methods, by the default criterion, {_words(DEFAULT)}, the same for all; none of its numbers "
        "holds a target label.",
        *(_verdict(content, pair, DEFAULT) for pair in pairs),
        *(part for pair in pairs for part in (*_pair(content, pair), *_trained(content, pair))),
        *([_time(content["time"])] if "time" in content else []),
        "## How it was measured",
        _how(content, pairs),
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(content, pair: str, criterion: str) -> str:
    base = _baselines(content, pair)
    lines = [f"**{PAIRS[pair].title}.**", ""]
    for net in base:
        made = choice(content, pair, net, lambda cell: chosen(cell, criterion))
        closed = (
            "the gap to target-only is too small for a share"
            if made["closed"] is None
            else f"{made['closed']:.0%} of the gap to target-only"
        )
        verdicts = ", ".join(f"{verdict} in {count}" for verdict, count in made["verdicts"].items())
        names = ", ".join(dict.fromkeys(map(_words, made["names"].values())))
        lines.append(
            f"- {NETS[net]}: source-only {base[net]:.4f}, chosen ({names}) {made['accuracy']:.4f}: {closed}; "
            f"of {len(made['names'])} seeds {verdicts}."
        )
    if max(base.values()) < CHANCE:
        lines.append(f"- Source-only stays below {CHANCE} with either net, so that a gain over it proves little.")
    return "\n".join(lines)


def _baselines(content, pair: str) -> dict[str, float]:
    return {net: source_only(content, one, net) for one, net in measured(content) if one == pair}


def _pair(content, pair: str) -> list[str]:
    nets = list(_baselines(content, pair))
    methods = dict.fromkeys(
        name for net in nets for cell in cells_of(content, pair, net).values() for name in cell["test"]
    )
    rows = [["method", *(f"{NETS[net]}" for net in nets)]]
    for name in methods:
        scores = [_spread(accuracies(content, pair, net, name)) for net in nets]
        rows.append([_words(name) + (" (reads target labels)" if name in READS_LABELS else ""), *scores])
    criteria = list(next(iter(cells_of(content, pair, nets[0]).values()))["criteria"]["source_only"])
    picks = {_words(name): (lambda cell, name=name: chosen(cell, name)) for name in criteria}
    picks["oracle: the best on the test rows"] = oracle
    choices = [["chosen by", *(f"{NETS[net]}" for net in nets)]]
    for title, pick in picks.items():
        made = [choice(content, pair, net, pick) for net in nets]
        choices.append([title, *(_choice(one) for one in made)])
    apart = [["proxy A-distance", *(NETS[net] for net in nets)]]
    for space in ("before", "scale", "coral"):
        found = [[cell["a_distance"][space] for cell in cells_of(content, pair, net).values()] for net in nets]
        apart.append(
            [space if space == "before" else f"after {space}", *(f"{statistics.fmean(one):.2f}" for one in found)]
        )
    return [f"## {PAIRS[pair].title}", _table(rows), _table(choices), _table(apart)]


def _trained(content, pair: str) -> list[str]:
    """What came of training with a term, from the net that learnt from the source on."""
    found = {reach: trained_cells(content, pair, reach) for reach in REACHES}
    found = {reach: cells for reach, cells in found.items() if cells}
    if not found:
        return []
    methods = dict.fromkeys(method for cells in found.values() for method in cells)
    rows = [["trained with a term", *(REACHES[reach] for reach in found)]]
    base = {
        reach: [one["test"]["baseline"] for one in next(iter(cells.values())).values()]
        for reach, cells in found.items()
    }
    rows.append(["as trained", *(_spread(values) for values in base.values())])
    for method in methods:
        scores = [[one["test"] for one in cells.get(method, {}).values()] for cells in found.values()]
        rows.append([TERMS.get(method, _words(method)), *(_verdicts(one) for one in scores)])
    picked = [_trained_choice(content, pair, cells) for cells in found.values()]
    rows.append(["chosen by mutual information", *picked])
    return [_table(rows)]


def _verdicts(tests: list[Mapping]) -> str:
    if not tests:
        return ""
    told = [f"{verdict} in {count}" for verdict, count in Counter(one["verdict"] for one in tests).items()]
    return f"{_spread([one['value'] for one in tests])} ({', '.join(told)})"


def _trained_choice(content, pair: str, cells: Mapping) -> str:
    made = trained_choice(cells)
    if made is None:
        return ""
    closed = share_closed(content, pair, "tuned", made["accuracy"], made["base"])
    told = "" if closed is None else f", {closed:+.0%}"
    names = ", ".join(dict.fromkeys(TERMS.get(name, _words(name)) for name in made["names"].values()))
    return f"{made['accuracy']:.4f}{told} ({names})"


def _choice(made: Mapping) -> str:
    closed = "" if made["closed"] is None else f", {made['closed']:+.0%}"
    return f"{made['accuracy']:.4f}{closed} ({', '.join(dict.fromkeys(map(_words, made['names'].values())))})"


def _time(told: Mapping) -> str:
    verdict = "less than" if told["cheap_s"] + told["extract_s"] < told["epoch_s"] else "not less than"
    return (
        "## Time\n\n"
        f"All methods that read no target label, over {told['rows']:,} rows of {told['width']} features, half of them "
        f"source: {told['cheap_s']:.1f} s, and {told['extract_s']:.1f} s to record the features, once for all. One "
        f"epoch of full fine-tuning of the same encoder over the same texts: {told['epoch_s']:.1f} s. That is "
        f"{verdict} an epoch. {told['device_name']}, {told['threads']} threads, once."
    )


def _how(content, pairs) -> str:
    facts, lines = content["environment"], []
    machines = sorted(
        {cell["device_name"] for kind in ("cells", "trained") for cell in content.get(kind, {}).values()}
    )
    for pair in pairs:
        net = next(iter(_baselines(content, pair)))
        cells = cells_of(content, pair, net)
        rows = next(iter(cells.values()))["rows"]
        lines.append(
            f"- {PAIRS[pair].title}: {rows['source']:,} source rows, {rows['target']:,} target rows without labels, "
            f"{rows['test']:,} target test rows, {rows['width']} features; seeds {', '.join(map(str, cells))}, each "
            "with splits of its own."
        )
    lines += [
        "- Everything was fixed beforehand; target test labels are read by the figures and by the oracle alone. "
        "Source validation rows choose L2 penalties.",
        f"- Target-only learns from the labels of all target rows, TrAdaBoost from {LABELLED} of each class.",
        f"- Images at {IMAGE_SIZE} pixels, EfficientNet-Lite0; texts MiniLM-L6. Fine-tuning on the source as the "
        "demo does it, pictures cropped at random.",
        *_how_trained(content, pairs),
        "- Mean ± standard deviation over the seeds. A verdict is of one seed, against the model as it was trained on "
        "the source, by the paired bootstrap over test rows. Source-only is the better of that model and of a layer "
        "fitted to its features. A percentage is the share of the gap between source-only and target-only that is "
        "closed.",
        f"- Accuracies were measured on {' and '.join(machines)}; torch {facts['torch']}, transformers "
        f"{facts['transformers']}, timm {facts['timm']}.",
        "- Again: `python benchmarks/adaptation.py`; it goes on where it was stopped.",
    ]
    return "\n".join(lines)


def _how_trained(content, pairs) -> list[str]:
    reaches = [reach for reach in REACHES if any(trained_cells(content, pair, reach) for pair in pairs)]
    if not reaches:
        return []
    further = [f"{PAIRS[pair].title} {PAIRS[pair].further['num_train_epochs']}" for pair in pairs]
    rates = ", ".join(f"{kind}s {rate:g}" for kind, rate in RATES.items())
    told = {
        "projection": f"A layer more: 256 units on recorded features, {PROJECTION['max_steps']} steps at "
        f"{PROJECTION['learning_rate']:g}. ",
        "whole": f"The whole net: epochs more {', '.join(further)}; rate of {rates}. ",
    }
    return [
        "- Trained with a term: from a net that learnt from the source, made anew for these, perhaps on another "
        "machine than that of the tables above, so that its own figures differ; last weights, no epoch chosen; "
        f"weights of the terms as in the recipes. {''.join(told[reach] for reach in reaches)}Verdicts count seeds. A "
        "percentage is of the gap between the nets as they were trained and target-only."
    ]


def _spread(values: list[float]) -> str:
    if not values:
        return ""
    return f"{statistics.fmean(values):.4f}" + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")


def _words(name: str) -> str:
    return name.replace("_", " ").replace("+", " + ")


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]])
