"""Full fine-tuning with plain `transformers.Trainer` and its defaults: float32, batch 32, AdamW at 5e-5.

python benchmarks/rivals/trainer_finetune.py --checkpoint FOLDER --train train.csv --validation v.csv --test t.csv
python benchmarks/rivals/trainer_finetune.py ... --padding max_length --max_steps 12

`--padding longest` pads a batch to its longest row, `max_length` every row to 128 tokens, as transformers' example
script does by default. No evaluation and no checkpoint interrupts training.
"""

import argparse
import tempfile
import time

START = time.perf_counter()

from rows import encoded  # noqa: E402
from shared import DEVICE, accuracy, add_table_arguments, emit, read_table  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

IMPORTED = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--padding", default="longest", choices=("longest", "max_length"))
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16, on a CPU too")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--max_steps", type=int, default=-1, help="stop there and leave the test rows alone")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()

    set_seed(asked.seed)
    start = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(asked.checkpoint)
    names = sorted(set(read_table(asked.train)[1]))
    model = AutoModelForSequenceClassification.from_pretrained(asked.checkpoint, num_labels=len(names))
    load_s = time.perf_counter() - start
    start = time.perf_counter()
    padding = "max_length" if asked.padding == "max_length" else False
    train, test = (encoded(tokenizer, path, names, padding) for path in (asked.train, asked.test))
    tokenise_s = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=asked.epochs,
            max_steps=asked.max_steps,
            per_device_train_batch_size=asked.batch_size,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            bf16=asked.bf16,
            use_cpu=asked.bf16 and DEVICE == "cpu",  # or Trainer looks for a GPU that has bfloat16
            seed=asked.seed,
        )
        trainer = Trainer(
            model, arguments, train_dataset=train, compute_metrics=accuracy,
            data_collator=DataCollatorWithPadding(tokenizer),
        )  # fmt: skip
        outcome = trainer.train()
        measured = {} if asked.max_steps > 0 else trainer.evaluate(test, metric_key_prefix="test")
    emit(
        import_s=IMPORTED - START,
        load_s=load_s,
        tokenise_s=tokenise_s,
        train_s=outcome.metrics["train_runtime"],
        per_s=outcome.metrics["train_samples_per_second"],
        steps=outcome.global_step,
        accuracy=measured.get("test_accuracy"),
        loss=measured.get("test_loss"),
        total_s=time.perf_counter() - START,
    )


if __name__ == "__main__":
    main()
