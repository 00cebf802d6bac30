"""Sentence embeddings with sentence-transformers' `encode`, on a warm model.

python benchmarks/rivals/sentence_transformers_encode.py --checkpoint FOLDER --texts train.csv
python benchmarks/rivals/sentence_transformers_encode.py --checkpoint FOLDER --texts train.csv \
    --dtype bfloat16 --batch_size 128
"""

import argparse
import time

START = time.perf_counter()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from shared import emit, read_table, synchronise  # noqa: E402

IMPORTED = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--texts", required=True, help="CSV file with the column text")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--batch_size", type=int, default=32, help="encode's own default")
    parser.add_argument("--save", help="write the embeddings to this .npy file")
    asked = parser.parse_args()

    start = time.perf_counter()
    # float32 is what a model is loaded in without an argument, when its weights are stored so; these are.
    settings = {} if asked.dtype == "float32" else {"model_kwargs": {"dtype": torch.bfloat16}}
    model = SentenceTransformer(asked.checkpoint, **settings)
    load_s = time.perf_counter() - start
    texts, _ = read_table(asked.texts, asked.limit)
    # encode cannot turn bfloat16 into numpy, so both dtypes leave it as a tensor.
    settings = dict(batch_size=asked.batch_size, show_progress_bar=False, convert_to_tensor=True)
    model.encode(texts[:256], **settings)

    synchronise()
    start = time.perf_counter()
    embeddings = model.encode(texts, **settings)
    synchronise()
    features_s = time.perf_counter() - start
    if asked.save:
        np.save(asked.save, embeddings.float().cpu().numpy())
    emit(
        import_s=IMPORTED - START,
        load_s=load_s,
        features_s=features_s,
        per_s=len(texts) / features_s,
        rows=len(texts),
        dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
        total_s=time.perf_counter() - START,
    )


if __name__ == "__main__":
    main()
