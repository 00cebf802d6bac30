"""Why extraction and fine-tuning of a text encoder are as fast as they are, and not faster.

    python benchmarks/profiles.py            # seven minutes on two idle cores

The self time of each kind of operator while features of `run.py`'s texts are extracted, and in steps of full
fine-tuning on the SMS rows, MiniLM-L6, in the precision that a run chooses; from the share of the matrix products
follows what would be left if all else cost nothing. And texts per second of extraction with batches side by side, one
thread each, against one after the other with all threads. Writes benchmarks/results/profiles-KIND.json, by kind of
device.
"""

from pathlib import Path

import workload
from harness import alternate, compare, environment, run_script, write_results
from sizes import DEFAULT

from hf_transfer.precision import device_kind

PAIRS = 6  # a gain of some per cent on a drifting machine
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    texts = ["--texts", workload.texts(DEFAULT.linear_rows).train, "--limit", DEFAULT.feature_texts]
    messages = ["--texts", workload.sms(DEFAULT.finetune_rows).train]
    content = {
        "extraction": operators(*texts, "--phase", "extraction"),
        "fine_tuning": operators(*messages, "--phase", "fine-tuning"),
        "side_by_side": side_by_side("--kind", "text", *texts),
        "environment": environment(),
    }
    write_results(RESULTS / f"profiles-{device_kind(content['environment']['device'])}.json", content)
    for phase in ("extraction", "fine_tuning"):
        found = content[phase]
        print(
            f"{phase}: {found['rows'] / found['seconds']:.0f} rows/s, matrix products {found['share']:.0%} of it; "
            f"were all else free, {found['rows'] / found['seconds'] / found['share']:.0f} rows/s"
        )
    print(f"batches side by side over one after the other: {content['side_by_side']['value']:.2f}")


def operators(*flags) -> dict:
    found = run_script("ours/operators.py", *flags).figures()
    return {**found, "share": round(found["self_s"]["matrix products"] / sum(found["self_s"].values()), 3)}


def side_by_side(*flags) -> dict:
    found = alternate(
        {
            "side by side": lambda _: run_script("ours/features.py", *flags).figures(),
            "one after the other": lambda _: run_script("ours/features.py", *flags, "--one_by_one").figures(),
        },
        PAIRS,
    )
    rates = {name: [run["per_s"] for run in runs] for name, runs in found.items()}
    return compare(
        "batches side by side", rates["side by side"], rates["one after the other"], unit="texts/s",
        rival_name="one after the other", higher_is_better=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
