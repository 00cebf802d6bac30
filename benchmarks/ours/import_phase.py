"""Seconds that a run of ours spends on imports, those it makes on the way included.

python benchmarks/ours/import_phase.py
"""

import json
import time

START = time.perf_counter()

# What a run on texts imports only when it gets there.
import pandas  # noqa: E402, F401
from datasets import Dataset  # noqa: E402, F401
from transformers import AutoModel, AutoTokenizer, BertModel  # noqa: E402, F401

import hf_transfer.cli  # noqa: E402, F401
import hf_transfer.runner  # noqa: E402, F401

import hf_transfer.hub  # noqa: E402, F401  isort: skip
from hf_transfer.data import load_data  # noqa: E402, F401

print(json.dumps({"import_s": time.perf_counter() - START}))
