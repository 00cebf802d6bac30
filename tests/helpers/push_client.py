"""A process with the real Hub client, and a finished run for it to push."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOKEN, READ_ONLY, CANARY = "hf_canaryToken0123456789", "hf_readOnlyToken01234567", "canaryuser"
REPO = "alice/spam-detector"
CODE = ("configuration_transfer.py", "heads_transfer.py", "modeling_transfer.py")

# The client reads its settings once, when it is imported, so it lives in a process of its own and takes orders there.
WORKER = """
import dataclasses, json, sys, traceback

def push(**words):
    from hf_transfer.hub_push import push_folder
    return dataclasses.asdict(push_folder(**words))

def check(**words):
    from hf_transfer.hub_push import check_push
    return check_push(**words)

def download(repo_id, cache, **words):
    from huggingface_hub import snapshot_download
    return snapshot_download(repo_id, cache_dir=cache, **words)

def verify(repo_id, cache, **words):
    from huggingface_hub import HfApi
    found = HfApi().verify_repo_checksums(repo_id, cache_dir=cache, **words)
    return [one["path"] for one in found.mismatches] + found.missing_paths

for line in sys.stdin:
    order = json.loads(line)
    try:
        answer = {"done": globals()[order.pop("do")](**order)}
    except Exception as error:
        traceback.print_exc()
        answer = {"kind": type(error).__name__, "error": str(error)}
    print("ANSWER" + json.dumps(answer), flush=True)
"""


class Worker:
    """A process with the real client; everything it prints is kept."""

    def __init__(self, env: dict[str, str], log: Path):
        self.log, self.printed = log, []
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, cwd=ROOT, env=env,
            )  # fmt: skip

    def ask(self, do: str, **words):
        self.send(do, **words)
        for line in self.process.stdout:
            self.printed.append(line)
            if line.startswith("ANSWER"):
                return json.loads(line.removeprefix("ANSWER"))
        raise AssertionError(f"the client died: {self.log.read_text()[-3000:]}")

    def send(self, do: str, **words) -> None:
        words = {name: str(value) if isinstance(value, Path) else value for name, value in words.items()}
        self.process.stdin.write(json.dumps({"do": do, **words}) + "\n")
        self.process.stdin.flush()

    def push(self, folder: Path, repo_id: str = REPO, **words) -> dict:
        answer = self.ask("push", folder=folder, repo_id=repo_id, **{"token": TOKEN, **words})
        assert "done" in answer, answer["error"]
        return answer["done"]

    def refused(self, do: str, **words) -> str:
        """The one line of a `UserError`."""
        answer = self.ask(do, **{"token": TOKEN, **words})
        assert answer.get("kind") == "UserError", answer
        assert "\n" not in answer["error"]
        return answer["error"]

    def output(self) -> str:
        return "".join(self.printed) + self.log.read_text()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def write_run(folder: Path, home: Path) -> None:
    write_weights(folder / "model.safetensors", rows=16)
    for name in CODE:
        shutil.copyfile(ROOT / "hf_transfer" / "hub" / name, folder / name)
    (folder / "README.md").write_text("---\nlibrary_name: transformers\ntags:\n- spam\n---\n\n# Spam\n")
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n/usr/lib\n/root\nspam\n")
    write_json(folder / "config.json", {
        "model_type": "transfer_text", "_name_or_path": f"{home}/nets/mini-bert",
        "id2label": {"0": "ham", "1": "/r/spam/"}, "label2id": {"ham": 0, "/r/spam/": 1},
    })  # fmt: skip
    write_json(folder / "tokenizer_config.json", {"vocab_file": f"{home}/nets/mini-bert/vocab.txt", "model_max": 128})
    recipe = {
        "summary": "BiLSTM on a frozen encoder",
        "data": {"kind": "TextClassification", "train": f"{home}/my data/reviews.csv", "validation": None,
                 "test": f"/srv/{CANARY}/test.csv", "text": "body"},
        "backbone": {"kind": "TextBackbone", "checkpoint": f"{home}/nets/mini-bert", "revision": None},
        "training": {"learning_rate": 0.001, "deepspeed": f"/etc/{CANARY}/zero.json"},
    }  # fmt: skip
    write_json(folder / "recipe.json", recipe)
    notes = [f"test: /srv/{CANARY}/test.csv has 3 rows without a label", f"read from {home}/.cache/x.arrow, twice"]
    write_json(folder / "results.json", {
        "recipe": "text/lstm_frozen", "checkpoint": recipe["backbone"]["checkpoint"],
        "hub_sources": {"base_model": None, "datasets": []},
        "headline": {"name": "accuracy", "value": 0.98354, "ci95": [0.97, 0.99]},
        "labels": ["ham", "/r/spam/"], "per_class": [{"name": "/r/spam/", "f1": 0.9}], "notes": notes,
        "training": recipe["training"], "files": sorted([*(p.name for p in folder.iterdir()), "results.json"]),
    })  # fmt: skip
    # What lies there too and is nobody's business
    for name in ("training_args.bin", "optimizer.pt", "trainer_state.json", ".env", "notes.txt", "other.safetensors"):
        (folder / name).write_text(f"{TOKEN} {home} {CANARY}")
    (folder / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    (folder / "checkpoints" / "checkpoint-5" / "model.safetensors").write_text(CANARY)


def write_weights(path: Path, rows: int) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    values = np.arange(rows * 1024, dtype="float32").reshape(rows, 1024)
    save_file({"head.weight": values}, path, metadata={"format": "pt"})


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def edit(path: Path, **changes) -> None:
    write_json(path, {**json.loads(path.read_text()), **changes})


def listed(folder: Path) -> list[str]:
    return json.loads((folder / "results.json").read_text())["files"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def drop(name):
    return lambda run: (run / name).unlink()


def add_file(name, content):
    def change(run):
        (run / name).write_bytes(content)
        edit(run / "results.json", files=[*listed(run), name])

    return change
