"""A head on a frozen encoder with plain `transformers.Trainer`: the encoder runs again in every epoch.

python benchmarks/rivals/trainer_frozen.py --checkpoint FOLDER --train train.csv --validation v.csv --test t.csv
python benchmarks/rivals/trainer_frozen.py ... --head lstm --batch_size 64 --learning_rate 1e-3

Batches are padded to their longest row; float32; the validation rows are evaluated after every epoch, the test rows
once at the end. The encoder stays in evaluation mode and builds no graph, which is the faster way to freeze one.
"""

import argparse
import tempfile
import time

START = time.perf_counter()

import torch  # noqa: E402
from rows import encoded  # noqa: E402
from shared import accuracy, add_table_arguments, emit, read_table  # noqa: E402
from torch import nn  # noqa: E402
from transformers import (  # noqa: E402
    AutoModel,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.modeling_outputs import SequenceClassifierOutput  # noqa: E402

IMPORTED = time.perf_counter()


class FrozenEncoderClassifier(nn.Module):
    """The encoder, and a head that is all that trains: linear on the mean of the tokens, or our BiLSTM."""

    def __init__(self, encoder, head: str, num_labels: int):
        super().__init__()
        self.encoder, self.kind = encoder.requires_grad_(False), head
        if head == "linear":
            self.head = nn.Linear(encoder.config.hidden_size, num_labels)
        else:
            from hf_transfer.hub.heads_transfer import LSTMHead  # the same module, so that only the rest differs

            self.head = LSTMHead(encoder.config.hidden_size, num_labels, hidden_size=256, num_layers=2, dropout=0.2)

    def train(self, mode: bool = True):
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, input_ids, attention_mask, token_type_ids=None, labels=None):
        with torch.no_grad():
            tokens = self.encoder(input_ids, attention_mask, token_type_ids).last_hidden_state
        logits = self.classify(tokens, attention_mask)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def classify(self, tokens, mask):
        if self.kind == "linear":
            real = mask.unsqueeze(-1)
            mean = (tokens * real).sum(1) / real.sum(1)
            return self.head(nn.functional.normalize(mean, dim=-1))  # as the checkpoint's own modules pool
        from hf_transfer.hub.heads_transfer import Features

        return self.head(Features(tokens, mask, None))


class EpochTimes(TrainerCallback):
    """Seconds of each epoch with its evaluation."""

    def __init__(self):
        self.seconds = []

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.start = time.perf_counter()

    def on_evaluate(self, args, state, control, **kwargs):
        self.seconds.append(time.perf_counter() - self.start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_table_arguments(parser)
    parser.add_argument("--head", default="linear", choices=("linear", "lstm"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--learning_rate", type=float, default=3e-2)
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()

    set_seed(asked.seed)
    start = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(asked.checkpoint)
    names = sorted(set(read_table(asked.train)[1]))
    model = FrozenEncoderClassifier(AutoModel.from_pretrained(asked.checkpoint), asked.head, len(names))
    load_s = time.perf_counter() - start
    start = time.perf_counter()
    train, validation, test = (encoded(tokenizer, path, names) for path in (asked.train, asked.validation, asked.test))
    tokenise_s = time.perf_counter() - start
    times = EpochTimes()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=asked.epochs,
            per_device_train_batch_size=asked.batch_size,
            learning_rate=asked.learning_rate,
            eval_strategy="epoch",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=asked.seed,
        )
        trainer = Trainer(
            model, arguments, train_dataset=train, eval_dataset=validation, compute_metrics=accuracy,
            data_collator=DataCollatorWithPadding(tokenizer), callbacks=[times],
        )  # fmt: skip
        start = time.perf_counter()
        trainer.train()
        train_s = time.perf_counter() - start
        epoch_seconds = list(times.seconds)  # the test rows' evaluation below calls back too
        start = time.perf_counter()
        measured = trainer.evaluate(test, metric_key_prefix="test")
        evaluate_s = time.perf_counter() - start
    emit(
        import_s=IMPORTED - START,
        load_s=load_s,
        tokenise_s=tokenise_s,
        train_s=train_s,
        epoch_s=epoch_seconds,
        evaluate_s=evaluate_s,
        accuracy=measured["test_accuracy"],
        epochs=asked.epochs,
        total_s=time.perf_counter() - START,
    )


if __name__ == "__main__":
    main()
