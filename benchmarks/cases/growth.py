"""How time and memory grow with the number of rows."""

import workload
from harness import exponent, quantity
from sizes import Sizes

from .our_run import our_run


def growth(sizes: Sizes) -> dict:
    """Time and peak RssAnon of pooled features and of token states, at each number of rows."""
    found: dict[str, list[dict]] = {"pooled": [], "token states": []}
    for count in sizes.growth:
        table = workload.growth(count, sizes.growth_short)
        for name, recipe, flags in (
            ("pooled", "text/linear_probe", []),
            # A few steps show that the head trains from the recording; all its epochs would take hours.
            ("token states", "text/lstm_frozen", ["--max_steps", 5]),
        ):
            print(f"  {count:,} rows, {name} ...", end=" ", flush=True)
            figures = our_run(recipe, [*table.flags(), *flags])
            print(f"{figures['whole_s']:.0f} s", flush=True)
            found[name].append({"rows": count, **figures})
    rows = []
    for name, runs in found.items():
        for phase, words in (("features_s", "extraction"), ("total_s", "a run")):
            value = exponent(sizes.growth, [run["timing"][phase] for run in runs])
            rows.append(quantity(f"growth of {words}'s time with rows, {name}: exponent", [value], unit=""))
    most, before = sizes.growth[-1], sizes.growth[-2]
    for name, runs in found.items():
        rows.append(
            quantity(
                f"peak RssAnon, {most:,} rows over {before:,}, {name}",
                [runs[-1]["peak_mb"] / runs[-2]["peak_mb"]],
                unit="times",
                target=1.3 if name == "token states" else None,
            )
        )
    peaks = ", ".join(f"{run['rows']:,} rows {run['peak_mb']:,.0f} MB" for run in found["token states"])
    least, longest = (6, 12) if sizes.growth_short else (workload.LEAST, workload.MOST)
    counts = ", ".join(f"{count:,}" for count in sizes.growth)
    notes = [
        f"Growth: each size once, texts of {least} to {longest} tokens, at {counts} rows; the BiLSTM head is stopped "
        f"after 5 steps. Peak RssAnon with token states: {peaks}."
    ]
    return {"rows": rows, "notes": notes, "details": found}
