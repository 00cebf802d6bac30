"""Benchmarks of full fine-tuning: against Trainer's defaults, and against a hand-written loop."""

import statistics
from collections.abc import Sequence

import workload
from harness import alternate, column, compare, fast_bf16, quantity, run_script
from labels.summary import paired
from sizes import Sizes

from .our_run import our_run

BATCH = 32
TOLERANCE = 0.003  # of accuracy, as for features in bfloat16


def ours(sizes: Sizes, seed: int, *more) -> dict:
    """One run of ours by Trainer's own defaults; no evaluation and no checkpoint interrupts the training."""
    flags = [
        *workload.sms(sizes.finetune_rows).flags(), "--num_train_epochs", sizes.finetune_epochs,
        "--per_device_train_batch_size", BATCH, "--learning_rate", 5e-5, "--weight_decay", 0, "--warmup_steps", 0,
        "--eval_strategy", "no", "--save_strategy", "no", "--seed", seed,
    ]  # fmt: skip
    return our_run("text/full_finetune", [*flags, *more])


def trainer(sizes: Sizes, seed: int, *more) -> dict:
    """The same by stock Trainer."""
    return run_script(
        "rivals/trainer_finetune.py", "--checkpoint", workload.checkpoint(),
        *workload.sms(sizes.finetune_rows).arguments(), "--epochs", sizes.finetune_epochs, "--batch_size", BATCH,
        "--seed", seed, *more,
    ).figures()  # fmt: skip


def full_finetune(sizes: Sizes) -> dict:
    """Train rows per second of the training phase, and the accuracy that comes of it, seeds paired."""
    cut = ["--max_steps", sizes.padded_steps] if sizes.padded_steps else []
    figures = alternate(
        {
            "ours": lambda number: ours(sizes, number + 1),
            "Trainer": lambda number: trainer(sizes, number + 1),
            "Trainer, padded to 128": lambda number: trainer(sizes, number + 1, "--padding", "max_length", *cut),
        },
        sizes.repetitions,
    )
    rates = column(figures["ours"], "per_s")
    rows = [
        compare(
            "full fine-tuning", rates, column(figures["Trainer"], "per_s"), unit="rows/s",
            rival_name="Trainer, defaults, padded per batch", higher_is_better=True, target=2.5,
        ),
        compare(
            "full fine-tuning", rates, column(figures["Trainer, padded to 128"], "per_s"), unit="rows/s",
            rival_name="Trainer, padded to 128", higher_is_better=True, target=12,
        ),
    ]  # fmt: skip
    differences = [
        a - b for a, b in zip(column(figures["ours"], "accuracy"), column(figures["Trainer"], "accuracy"), strict=True)
    ]
    for row in rows:
        row["less_accurate"] = less_accurate(differences)
    means = {name: statistics.mean(column(figures[name], "accuracy")) for name in ("ours", "Trainer")}
    count = "all" if sizes.finetune_rows is None else f"{sizes.finetune_rows:,} of the"
    epochs = "1 epoch" if sizes.finetune_epochs == 1 else f"{sizes.finetune_epochs} epochs"
    stopped = f"; padding to 128 is timed over {sizes.padded_steps} steps" if sizes.padded_steps else ""
    notes = [
        f"Full fine-tuning: {count} SMS train rows, MiniLM-L6, batch {BATCH}, {epochs}, rows/s of the training phase"
        f"{stopped}. Test accuracy, mean of {len(differences)} seeds: ours {means['ours']:.4f}, Trainer "
        f"{means['Trainer']:.4f}; ours less Trainer by seed: {', '.join(f'{value:+.4f}' for value in differences)}."
    ]
    return {"rows": rows, "notes": notes, "details": {"repetitions": figures, "accuracy_differences": differences}}


def less_accurate(differences: Sequence[float]) -> bool:
    """Whether paired differences of accuracy speak against equality: their mean is below -0.3 points, or Student's 95%
    interval lies below 0."""
    found = paired(dict(enumerate(differences)), dict.fromkeys(range(len(differences)), 0.0))
    return bool(statistics.fmean(differences) < -TOLERANCE or (found is not None and found.high < 0))


def trainer_overhead(sizes: Sizes) -> dict:
    """What our trainer costs over a hand-written loop, in per cent of the loop's time."""
    table = workload.texts(max(sizes.overhead_steps * 16, 96))
    dtype = "bfloat16" if fast_bf16() else "float32"
    found = run_script(
        "ours/trainer_overhead.py", "--train", table.train, "--steps", sizes.overhead_steps, "--pairs",
        sizes.overhead_pairs, "--dtype", dtype,
    ).figures()  # fmt: skip
    pairs = zip(column(found["trainer"], "seconds"), column(found["loop"], "seconds"), strict=True)
    overheads = [100 * (ours / loop - 1) for ours, loop in pairs]
    row = quantity("overhead of our trainer over a hand-written loop", overheads, unit="%", target=5)
    setup = statistics.median(column(found["trainer"], "setup_s"))
    notes = [
        f"Overhead: {sizes.overhead_steps} steps of {found['batch']} rows, MiniLM-L6 whole, {dtype}, "
        f"{sizes.overhead_pairs} alternating pairs; setting the trainer up ({setup:.2f} s, once) is not counted."
    ]
    return {"rows": [row], "notes": notes, "details": found}
