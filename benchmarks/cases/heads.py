"""Benchmarks of heads on a frozen encoder: recorded once against recomputed in every epoch."""

import shutil
import statistics
import tempfile
from pathlib import Path

import workload
from harness import alternate, column, compare, quantity, run_script
from sizes import Sizes

from .our_run import our_run

LINEAR_RATE = 3e-2  # the features are unit vectors, so a small step would not arrive in ten epochs


def linear_head_10_epochs(sizes: Sizes) -> dict:
    """Ten epochs of a linear head by gradient descent, the whole process and without imports."""
    table = workload.texts(sizes.linear_rows)
    flags = [
        *table.flags(), "--head.fit", "sgd", "--num_train_epochs", sizes.epochs, "--per_device_train_batch_size", 256,
        "--learning_rate", LINEAR_RATE,
    ]  # fmt: skip

    def ours(_) -> dict:
        figures = our_run("text/linear_probe", flags)
        imports = run_script("ours/import_phase.py").figures()["import_s"]
        return {**figures, "import_s": imports, "without_imports_s": figures["whole_s"] - imports}

    figures = alternate(
        {"ours": ours, "Trainer": lambda _: _trainer_frozen(table, sizes, "linear", 32, LINEAR_RATE)},
        sizes.repetitions,
    )
    words = f"{sizes.epochs} epochs of a linear head"
    rows = [
        compare(
            f"{words}, whole process", column(figures["ours"], "whole_s"), column(figures["Trainer"], "whole_s"),
            unit="s", rival_name="Trainer, encoder frozen", higher_is_better=False, target=22,
        ),
        compare(
            f"{words}, without imports", column(figures["ours"], "without_imports_s"),
            column(figures["Trainer"], "without_imports_s"), unit="s", rival_name="Trainer, encoder frozen",
            higher_is_better=False, target=40,
        ),
    ]  # fmt: skip
    notes = [_note("Linear head", sizes.linear_rows, sizes, figures, "batch 256 for ours, 32 for Trainer")]
    return {"rows": rows, "notes": notes, "details": {"repetitions": figures}}


def lstm_head_10_epochs(sizes: Sizes) -> dict:
    """Ten epochs of the BiLSTM head, the whole process."""
    table = workload.texts(sizes.lstm_rows)
    flags = [*table.flags(), "--num_train_epochs", sizes.epochs, "--per_device_train_batch_size", 64]
    figures = alternate(
        {
            "ours": lambda _: our_run("text/lstm_frozen", flags),
            "Trainer": lambda _: _trainer_frozen(table, sizes, "lstm", 64, 1e-3),
        },
        sizes.repetitions,
    )
    row = compare(
        f"{sizes.epochs} epochs of the BiLSTM head, whole process", column(figures["ours"], "whole_s"),
        column(figures["Trainer"], "whole_s"), unit="s", rival_name="Trainer, encoder recomputed each epoch",
        higher_is_better=False, target=6,
    )  # fmt: skip
    notes = [_note("BiLSTM head", sizes.lstm_rows, sizes, figures, "the same head, batch 64, learning rate 1e-3")]
    return {"rows": [row], "notes": notes, "details": {"repetitions": figures}}


def second_run(sizes: Sizes) -> dict:
    """Seconds of extraction in a run that reads features another head has had recorded."""
    table = workload.texts(sizes.second_run_rows)
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / "filled"
        first = our_run("text/lstm_frozen", [*table.flags(), "--max_steps", 1], filled)

        def ours(number: int) -> dict:
            # What this run derives and keeps must not help the next repetition.
            copy = shutil.copytree(filled, Path(folder) / f"copy{number}")
            figures = our_run("text/linear_probe", table.flags(), copy)
            shutil.rmtree(copy)
            return {**figures, "features_s": figures["timing"]["features_s"]}

        figures = alternate({"ours": ours}, sizes.repetitions)
    seconds = column(figures["ours"], "features_s")
    row = quantity("extraction in a second run, another head on the same features", seconds, unit="s", target=1)
    notes = [
        f"Second run: a linear probe after a BiLSTM head, {sizes.second_run_rows:,} texts; the first run's extraction "
        f"took {first['timing']['features_s']:.1f} s."
    ]
    return {"rows": [row], "notes": notes, "details": {"first": first, "repetitions": figures}}


def _trainer_frozen(table, sizes: Sizes, head: str, batch: int, rate: float) -> dict:
    finished = run_script(
        "rivals/trainer_frozen.py", "--checkpoint", workload.checkpoint(), *table.arguments(), "--head", head,
        "--epochs", sizes.rival_epochs, "--batch_size", batch, "--learning_rate", rate,
    )  # fmt: skip
    figures = finished.figures()
    # An epoch recomputes the same forward passes each time, so those not run cost what the last one did.
    added = max(0, sizes.epochs - sizes.rival_epochs) * figures["epoch_s"][-1]
    whole = finished.seconds + added
    return {
        **figures,
        "process_s": finished.seconds,
        "added_s": added,
        "whole_s": whole,
        "without_imports_s": whole - figures["import_s"],
    }


def _note(what: str, count: int, sizes: Sizes, figures: dict, settings: str) -> str:
    accuracy = {name: statistics.median(column(runs, "accuracy")) for name, runs in figures.items()}
    timed = sizes.rival_epochs
    counted = (
        f"Trainer's epochs were timed {timed} of {sizes.epochs}, the others are the last one's time added"
        if timed < sizes.epochs
        else "all of Trainer's epochs were timed"
    )
    epochs = "epoch" if timed == 1 else "epochs"
    ours, rival = f"{accuracy['ours']:.4f}", f"{accuracy['Trainer']:.4f}"
    scores = f"ours {ours} after {sizes.epochs} epochs, Trainer {rival} after {timed} {epochs}"
    return (
        f"{what}: {count:,} texts, {settings}; validation rows evaluated after every epoch, test rows once; "
        f"{counted}. Test accuracy: {scores}."
    )
