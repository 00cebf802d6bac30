"""The time of all cheap methods over 10,000 rows, against one epoch of full fine-tuning over as many texts."""

import tempfile
import time

import numpy as np
from harness import environment
from labels.cells import _environment, _quiet
from workload import checkpoint, texts

from .features import features

ROWS = 10_000


def measure_time(rows: int = ROWS) -> dict:
    """Run both once, one after the other: half of the rows are source and half are target.

    Returns:
        `dict`: `device_name` and `threads`; `extract_s`, the frozen encoder over all rows, once for all methods;
        `cheap_s`, all methods that read no target label; `seconds` of each; `epoch_s`, the training phase of one
        epoch; `rows`.
    """
    from hf_transfer import FrozenFeatures, FullFineTune, LinearHead, Recipe, TextBackbone, TextClassification, run
    from hf_transfer.adaptation.cheap import WITHOUT_LABELS, try_methods
    from hf_transfer.data import load_data

    tables = texts(rows)
    data = TextClassification(str(tables.train), validation=str(tables.validation), test=str(tables.test))
    backbone = TextBackbone(str(checkpoint()), max_length=128)
    fields = dict(num_train_epochs=1, per_device_train_batch_size=32, eval_strategy="no", save_strategy="no")
    with tempfile.TemporaryDirectory() as folder, _environment(HF_TRANSFER_CACHE=f"{folder}/cache"), _quiet() as said:
        try:
            frozen = Recipe("frozen", data, backbone, LinearHead(), FrozenFeatures())
            seconds = run(frozen, f"{folder}/frozen", farewell=False).data["timing"]["features_s"]
            splits = load_data(data, progress=False)
            _, ((x, y), (v, vy)) = features(f"{folder}/frozen", (splits.train, splits.validation))
            order = np.argsort(np.linalg.norm(x, axis=1), kind="stable")  # a shift, so that there is work to do
            near, far = np.sort(order[: len(x) // 2]), np.sort(order[len(x) // 2 :])
            start, cpu = time.perf_counter(), time.process_time()
            tried = try_methods(x[near], y[near], v, vy, x[far], methods=WITHOUT_LABELS)
            cheap, cheap_cpu = time.perf_counter() - start, time.process_time() - cpu
            recipe = Recipe("one epoch", data, backbone, LinearHead(), FullFineTune(), training=fields)
            result = run(recipe, f"{folder}/out", farewell=False)
        except Exception:
            said.show = True
            raise
    facts = environment()
    return {
        "device_name": facts["device_name"],
        "threads": facts["threads"],
        "rows": rows,
        "width": x.shape[1],
        "extract_s": round(seconds, 1),
        "cheap_s": round(cheap, 1),
        "cheap_cpu_s": round(cheap_cpu, 1),
        "seconds": {one.name: round(one.seconds, 2) for one in tried},
        "epoch_s": round(result.data["timing"]["train_s"], 1),
    }
