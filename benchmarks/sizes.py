"""How much of everything a run measures: the default fits 40 minutes on two cores with fast bf16,
`--full` cuts nothing short."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Rows, steps and repetitions of the benchmarks.

    Args:
        repetitions (`int`): pairs of ours and rival, one after the other.
        overhead_pairs (`int`): pairs for the overhead of the trainer, a few per cent of a drifting figure.
        epochs (`int`): of the heads.
        rival_epochs (`int`): epochs of the rival that are timed; the others are the last one's time, added.
        padded_steps (`int`): optimizer steps of the rival that pads to 128 tokens; 0 for as many as the others.
        growth_short (`bool`): rows of 6 to 12 tokens instead of 10 to 60.
    """

    repetitions: int
    overhead_pairs: int
    overhead_steps: int
    gemm_side: int
    feature_texts: int
    images: int
    linear_rows: int
    lstm_rows: int
    epochs: int
    rival_epochs: int
    finetune_rows: int | None
    finetune_epochs: int
    padded_steps: int
    second_run_rows: int
    growth: tuple[int, ...]
    growth_short: bool


DEFAULT = Sizes(
    repetitions=3, overhead_pairs=9, overhead_steps=30, gemm_side=4096, feature_texts=10_000, images=1_000,
    linear_rows=10_000, lstm_rows=4_000, epochs=10, rival_epochs=1, finetune_rows=1_600, finetune_epochs=1,
    padded_steps=8, second_run_rows=10_000, growth=(1_000, 10_000, 100_000), growth_short=True,
)  # fmt: skip
FULL = Sizes(
    repetitions=3, overhead_pairs=9, overhead_steps=30, gemm_side=4096, feature_texts=10_000, images=5_000,
    linear_rows=10_000, lstm_rows=10_000, epochs=10, rival_epochs=10, finetune_rows=None, finetune_epochs=3,
    padded_steps=0, second_run_rows=10_000, growth=(1_000, 10_000, 100_000), growth_short=False,
)  # fmt: skip
SMOKE = Sizes(
    repetitions=1, overhead_pairs=1, overhead_steps=2, gemm_side=256, feature_texts=64, images=8,
    linear_rows=96, lstm_rows=64, epochs=2, rival_epochs=1, finetune_rows=64, finetune_epochs=1,
    padded_steps=1, second_run_rows=64, growth=(50, 100, 200), growth_short=True,
)  # fmt: skip
