"""docs/strategies.md from the results file: tables, and in words who wins where; nothing here is written by hand."""

from collections.abc import Mapping
from pathlib import Path

from .methods import BASELINE, IMAGE_SIZE, METHODS, SETS
from .picture import draw_plot
from .summary import cells_of, column, machine, machines, measured, paired, scores, spread

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = {"text": "Texts: SMS Spam, MiniLM-L6", "image": "Images: MNIST digits, EfficientNet-Lite0"}
LETTERS = "ABCDEFGH"  # of machines
AGAINST = {"better": "clearly better than", "undecided": "not clearly apart from", "worse": "clearly worse than"}


def write_page(content: Mapping, docs: Path = DOCS) -> None:
    """Write `strategies.md` and `strategies.svg` into `docs`."""
    if not content["cells"]:
        raise SystemExit("nothing has been measured yet; run benchmarks/strategies.py")
    docs.mkdir(exist_ok=True)
    draw_plot(content, docs / "strategies.svg")
    (docs / "strategies.md").write_text(page(content), encoding="utf-8")


def page(content: Mapping) -> str:
    """Return the Markdown."""
    kinds = [kind for kind in SETS if measured(content, kind)[0]]
    parts = [
        "# Which strategy, with how many labels",
        "Written by `benchmarks/strategies.py` from `benchmarks/results/strategies.json`; "
        "[methods.md](methods.md) says what each strategy does.",
        "![accuracy against labels per class](strategies.svg)",
        "## Who wins where",
        *(_verdicts(content, kind) for kind in kinds),
        _tally(content, kinds),
        *(part for kind in kinds for part in _set(content, kind)),
        *_other_rates(content),
        "## How it was measured",
        _how(content, kinds),
    ]
    return "\n\n".join(parts) + "\n"


def _verdicts(content: Mapping, kind: str) -> str:
    def titles(names) -> str:
        return ", ".join(METHODS[name].called(kind) for name in names)

    lines = [f"**{NAMES[kind]}.**", ""]
    for size in measured(content, kind)[1]:
        judged = column(content, kind, size)
        words = [f"best on average is {METHODS[judged.best].called(kind)}, {judged.mean:.4f}"]
        words.append(
            f"no clear difference to it: {titles(judged.level)}" if judged.level else "clearly above all others"
        )
        for verdict, told in AGAINST.items():
            found = [name for name, one in judged.against.items() if one.verdict == verdict]
            words += [f"{told} the linear probe: {titles(found)}"] if found else []
        words += _collapsed(content, kind, size)
        lines.append(f"- {_labels(size)}, {_draws(content, kind, size)}: {'; '.join(words)}.")
    return "\n".join(lines)


def _collapsed(content: Mapping, kind: str, size) -> list[str]:
    """Say which methods ended, in some draw, no better than without having looked at the input."""
    found = []
    for name in METHODS:
        cells = cells_of(content, kind, name, size).values()
        # Scores are kept to six digits; the share of the largest class is not.
        count = sum(cell["test"]["accuracy"] <= round(cell["majority_class"], 6) for cell in cells)
        found += [f"{METHODS[name].called(kind)} in {count}"] if count else []
    return [f"no better than the largest class: {', '.join(found)}"] if found else []


def _tally(content: Mapping, kinds: list[str]) -> str:
    """In how many columns each method is better or worse than the probe, and than plain fine-tuning."""
    columns = [(kind, size) for kind in kinds for size in measured(content, kind)[1]]

    def counts(name: str, other: str) -> dict[str, int]:
        found = [
            paired(*(scores(content, kind, one, size, "accuracy") for one in (name, other))) for kind, size in columns
        ]
        verdicts = [one.verdict for one in found if one is not None]
        return {verdict: verdicts.count(verdict) for verdict in AGAINST}

    others = {BASELINE: "the linear probe", "full": "full fine-tuning"}
    rows = [["columns in which it is", *(f"{told} {of}" for of in others.values() for told in AGAINST.values())]]
    never = {other: [] for other in others}
    for name in {name: None for kind in kinds for name in measured(content, kind)[0]}:
        row = [METHODS[name].title]
        for other in others:
            found = counts(name, other)
            row += [""] * len(found) if name == other else [str(count) for count in found.values()]
            if name != other and sum(found.values()) and not found["better"]:
                never[other].append(METHODS[name].title)
        rows.append(row)
    told = [
        f"In no column clearly better than {of}: {', '.join(never[other])}."
        for other, of in others.items()
        if never[other]
    ]
    return "\n\n".join([f"Of {len(columns)} columns, by accuracy:", _table(rows), *told])


def _set(content: Mapping, kind: str) -> list[str]:
    methods, sizes = measured(content, kind)
    labels = [_labels(size) for size in sizes]
    spent = [f"{_labels(size)}, s" for size in sizes]
    best = {size: column(content, kind, size) for size in sizes}
    rows = [["method", *labels, "trainable", *spent]]
    for name in methods:
        cells = [_score(content, kind, name, size, "accuracy", best[size]) for size in sizes]
        found = [cells_of(content, kind, name, size) for size in sizes]
        seconds = [_seconds(content, by.values()) for by in found]
        moving = next(f"{one['trainable']:,}" for by in found for one in by.values())
        rows.append([METHODS[name].called(kind), *cells, moving, *seconds])
    f1 = [["macro-F1", *labels]]
    apart = [["accuracy less the probe's, points", *labels]]
    for name in methods:
        judged = {size: column(content, kind, size, "macro_f1") for size in sizes}
        f1.append(
            [METHODS[name].called(kind), *(_score(content, kind, name, s, "macro_f1", judged[s]) for s in sizes)]
        )
        if name != BASELINE:
            apart.append([METHODS[name].called(kind), *(_points(best[size].against.get(name)) for size in sizes)])
    majority = next(iter(cells_of(content, kind, methods[0], sizes[0]).values()))["majority_class"]
    return [
        f"## {NAMES[kind]}",
        "Test accuracy, mean ± standard deviation over the draws; bold: the best and what is not clearly apart. "
        f"The largest class alone gives {majority:.4f}. Seconds: processor time of the whole run, load to save, over "
        "all cores, the mean, and the letters of the machines; other work on them makes it longer, wall time more so.",
        _table(rows),
        _table(f1),
        "With 95% intervals over the draws:",
        _table(apart),
    ]


def _other_rates(content: Mapping) -> list[str]:
    """What other learning rates than the chosen ones give, draw by draw; they have no part in the comparison."""
    rows = [["set", "method", "labels", "draw", "rate", "accuracy", "at the chosen rate", "accuracy there"]]
    for place, cell in sorted(content.get("other_rates", {}).items()):
        kind, name, size, seed, rate = place.split("/")
        chosen = content["cells"].get(f"{kind}/{name}/{size}/{seed}")
        there = [_rate(chosen), f"{chosen['test']['accuracy']:.4f}"] if chosen else ["", ""]
        title = METHODS[name].called(kind)
        rows.append([f"{kind}s", title, size, seed, rate, f"{cell['test']['accuracy']:.4f}", *there])
    return ["## At other learning rates", _table(rows)] if len(rows) > 1 else []


def _score(content, kind, name, size, metric, judged) -> str:
    values = list(scores(content, kind, name, size, metric).values())
    if not values:
        return ""
    mean, std = spread(values)
    text = f"{mean:.4f}" + ("" if std is None else f" ± {std:.4f}")
    return f"**{text}**" if name == judged.best or name in judged.level else text


def _points(one) -> str:
    return "" if one is None else f"{100 * one.mean:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})"


def _how(content: Mapping, kinds: list[str]) -> str:
    lines = []
    for kind in kinds:
        methods, sizes = measured(content, kind)
        told = []
        for size in sizes:
            found = [cells_of(content, kind, name, size) for name in methods]
            rows = next(one["rows"] for by in found for one in by.values())
            told.append(
                f"{_labels(size)} {rows['train']:,} and {rows['validation']:,} ({_draws(content, kind, size)})"
            )
        lines.append(
            f"- {NAMES[kind]}: train and validation rows: {', '.join(told)}; the same {rows['test']:,} test rows."
        )
    rates = {
        f"{METHODS[name].called(kind)} {rate} ({kind}s)"
        for kind in kinds
        for name in measured(content, kind)[0]
        for rate in {
            _rate(cell) for size in measured(content, kind)[1] for cell in cells_of(content, kind, name, size).values()
        }
        - {None}
    }
    lines += [
        "- A seed draws the rows and is the training seed; all methods get the same draws, so differences are paired. "
        "Fewer labels are a part of more. Train and validation rows are balanced over the classes, except where all "
        "labels are used; test rows are as they come, so texts are tested on 87% ham.",
        "- Validation has as many rows as train, at most 40 of each class; where all labels are used it is a tenth of "
        "them. It chooses the linear layer's L2 penalty and, on draws of their own, the learning rates; no epoch is "
        "chosen on it.",
        f"- Learning rate: {content['rule']}. Chosen: {'; '.join(sorted(rates))}.",
        "- Everything else was fixed beforehand: batch sizes and epochs by size, the same for all that train the "
        "backbone (gradual unfreezing reaches the lowest layers after half of them); L2-SP alpha 0.01, beta 0.01; "
        "LoRA rank 8, alpha 16; layer decay 0.8; contrastive pairs at most 40 batches of 16. No method augments. "
        f"Images at {IMAGE_SIZE} pixels.",
        "- Intervals are Student's over the draws: they say what other train rows and seeds would change, not what "
        "other test rows would. Of twenty such verdicts on equal methods about one would be wrong.",
        *_machines(content, kinds),
        "- Again: `python benchmarks/strategies.py`; it goes on where it was stopped.",
    ]
    return "\n".join(lines)


def _seconds(content: Mapping, cells) -> str:
    """Mean processor time, and the letters of the machines it was measured on where there are several."""
    if not cells:
        return ""
    mean, _ = spread([one["cpu_s"] for one in cells])
    here, known = {machine(one) for one in cells}, machines(content)
    letters = [letter for letter, told in zip(LETTERS, known, strict=False) if told in here] if len(known) > 1 else []
    return " ".join([f"{mean:.1f}", *letters])


def _machines(content: Mapping, kinds: list[str]) -> list[str]:
    found = machines(content)
    if len(found) == 1:
        return [f"- {one}." for one in found]
    lines = []
    for letter, (told, places) in zip(LETTERS, found.items(), strict=False):
        by_kind = {kind: [_labels(size) for one, size in places if one == kind] for kind in kinds}
        parts = [f"{kind}s with {', '.join(sizes)}" for kind, sizes in by_kind.items() if sizes]
        lines.append(f"- Machine {letter}: {told}. From it: {'; '.join(parts)}.")
    return [*lines, "- Seconds compare on one machine only; its precision and versions move scores a little too."]


def _draws(content: Mapping, kind: str, size) -> str:
    count = max(len(cells_of(content, kind, name, size)) for name in METHODS)
    return f"{count} draw{'' if count == 1 else 's'}"


def _rate(cell: Mapping) -> str | None:
    """The learning rate a cell was trained with; in stages, that of the stage which has one."""
    found = cell["settings"]["training"].get("learning_rate")
    stages = cell["settings"]["strategy"] if isinstance(cell["settings"]["strategy"], list) else []
    rates = [found, *(stage["training"].get("learning_rate") for stage in stages)]
    return next((f"{rate:g}" for rate in rates if rate is not None), None)


def _labels(size) -> str:
    return "all labels" if size == "all" else f"{size} labels"


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]])
