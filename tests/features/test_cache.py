"""Recordings on disk: named by what decides their bytes, whole or usable in part, bounded, and listed."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from hf_transfer import UserError, cli
from hf_transfer.features import cache
from hf_transfer.features.dataset import FeatureSet
from hf_transfer.features.extraction import Job, Ranks, find, record
from hf_transfer.features.recording import Recording


class OneProcess:
    local_process_index, num_processes, is_local_main_process = 0, 1, True

    @staticmethod
    def wait_for_everyone():
        pass


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def job(name="job", rows=6, dtype=torch.float32, calls=None, width=3, device="one after the other"):
    """Row `i` has `i % 3 + 1` tokens, all of whose numbers are `i`; on a CPU batches are computed side by side."""
    lengths = np.arange(rows) % 3 + 1

    def compute(numbers):
        if calls is not None:
            calls.append(list(numbers))
        values = torch.tensor(numbers, dtype=dtype).view(-1, 1, 1)
        return {"tokens": values.expand(len(numbers), int(lengths[numbers].max()), width).clone()}

    batches = [[number] for number in range(rows)]
    return Job(name, {"name": name}, {"keeps": ["tokens"], "part": name}, batches, compute, rows, lengths, device)


def made(one: Job):
    return record(one, Ranks(OneProcess()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_was_recorded_is_read_back(dtype):
    states = FeatureSet(made(job(dtype=dtype)), np.arange(6))
    assert states.lengths.tolist() == [1, 2, 3, 1, 2, 3] and len(states) == 6
    batch = states.__getitems__([5, 0])
    assert batch["labels"].tolist() == [5, 0]
    assert batch["mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["tokens"].dtype == torch.float32
    assert batch["tokens"][:, :, 0].tolist() == [[5, 5, 5], [0, 0, 0]]
    assert states.dtypes["tokens"] == str(dtype).removeprefix("torch.")
    assert states.arrays["tokens"].itemsize == dtype.itemsize  # two bytes on disk, too


def test_side_by_side_is_the_same_as_one_after_the_other():
    alone, together = (FeatureSet(made(job(one, rows=50, device=one)), np.arange(50)) for one in ("cpu", "cuda"))
    assert np.array_equal(alone.arrays["tokens"], together.arrays["tokens"])


def test_the_second_time_nothing_is_computed():
    first = made(job())
    calls = []
    assert made(job(calls=calls)) == first and calls == []


def test_a_killed_recording_goes_on_where_it_was(own_cache):
    """SIGKILL in the middle: no exception handler of ours runs."""
    code = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[1])\n"
        "import test_cache as t\n"
        "one = t.job()\n"
        "whole = one.compute\n"
        "def compute(numbers):\n"
        "    if numbers == [3]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return whole(numbers)\n"
        "object.__setattr__(one, 'compute', compute)\n"
        "t.made(one)\n"
    )
    folder = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", code, folder], env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert find({"name": "job"}) is None
    [left] = cache.entries()
    assert not left.finished
    calls = []
    states = FeatureSet(made(job(calls=calls)), np.arange(6))
    assert calls == [[5], [3], [4], [5]]  # the first tells the shapes; 0 to 2 were there
    assert states.__getitems__([2])["tokens"][0, :, 0].tolist() == [2, 2, 2]


def test_pages_of_another_start_of_the_machine_are_not_trusted(own_cache):
    recording = Recording(own_cache / "key")
    one = job()
    from hf_transfer.features.recording import plan_arrays

    arrays = plan_arrays(one.compute([5]), 6, 12)
    recording.create(arrays, np.cumsum(one.lengths), 6, {})
    recording.open()
    recording.write(0, [0], one.compute([0]))
    about = json.loads((recording.partial / cache.ABOUT).read_text())
    (recording.partial / cache.ABOUT).write_text(json.dumps({**about, "boot": "another"}))
    recording.create(arrays, np.cumsum(one.lengths), 6, {})
    recording.open()
    assert recording.done.sum() == 0
    with pytest.raises(RuntimeError, match="lacks 6 of 6"):
        recording.finish()


def test_ctrl_c_keeps_what_is_done():
    one = job()
    whole = one.compute

    def compute(numbers):
        if numbers == [4]:
            raise KeyboardInterrupt
        return whole(numbers)

    object.__setattr__(one, "compute", compute)
    with pytest.raises(KeyboardInterrupt, match="4 of 6 batches of features are kept"):
        made(one)
    calls = []
    made(job(calls=calls))
    assert calls[1:] == [[4], [5]]


def test_the_least_recently_used_goes_when_the_limit_is_reached(monkeypatch):
    sizes = []
    for age, name in enumerate(("old", "middle", "new")):
        folder = made(job(name, rows=300))
        sizes.append(sum(path.stat().st_size for path in folder.iterdir()))
        os.utime(folder / cache.ABOUT, (1000 + age, 1000 + age))
    made(job("old", rows=300))  # found, and so used just now
    monkeypatch.setenv("HF_TRANSFER_CACHE_GB", str((sum(sizes) + sizes[0] // 2) / 1e9))
    assert made(job("fourth", rows=300)) is not None
    assert {entry.about["part"] for entry in cache.entries()} == {"old", "new", "fourth"}


def test_what_is_larger_than_the_limit_is_not_recorded(monkeypatch):
    kept = made(job("kept"))
    monkeypatch.setenv("HF_TRANSFER_CACHE_GB", "0")
    assert made(job("large")) is None
    assert kept.exists() and [entry.about["part"] for entry in cache.entries()] == ["kept"]
    monkeypatch.setenv("HF_TRANSFER_CACHE_GB", "much")
    with pytest.raises(UserError, match="HF_TRANSFER_CACHE_GB is 'much'; allowed"):
        made(job("other"))


def test_a_folder_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_TRANSFER_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="file cannot be written .*set HF_TRANSFER_CACHE"):
        made(job())


def test_two_runs_record_the_same_thing_once(own_cache, capsys):
    """The second waits for the first and takes what it made."""
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "import test_cache as t\n"
        "one = t.job()\n"
        "whole = one.compute\n"
        "def compute(numbers):\n"
        "    print('going', flush=True); time.sleep(0.3); return whole(numbers)\n"
        "object.__setattr__(one, 'compute', compute)\n"
        "t.made(one)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, os.path.dirname(__file__)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert other.stdout.readline() == "going\n"
    time.sleep(0.4)  # by now its folder is there
    assert cli.main(["cache", "clear"]) == 0
    assert "1 kept, being made by a run" in capsys.readouterr().out
    calls = []
    assert made(job(calls=calls)) is not None
    assert other.wait() == 0 and calls == []
    assert "waiting for it" in capsys.readouterr().out


def test_list_and_clear(capsys, own_cache):
    assert cli.main(["cache", "list"]) == 0
    assert capsys.readouterr().out == f"{own_cache}: 0.0 MB of at most 20.0 GB; nothing is recorded\n"
    folder = made(job())
    assert cli.main(["cache", "list"]) == 0
    head, _, titles, _, row = capsys.readouterr().out.splitlines()
    assert head.startswith(f"{own_cache}: ") and titles.split()[-2:] == ["last", "used"]
    assert row.split()[:4] == ["images", "tokens", "job", "6"]
    assert cli.main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith("1 recordings removed") and not folder.exists()
    assert cli.main(["cache", "burn"]) == 2
    assert "say what to do with the cache: hf-transfer cache list | clear" in capsys.readouterr().err
