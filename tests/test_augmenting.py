"""Augmentation follows seed, epoch and row; worker processes change when an image is decoded, and nothing else."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from matrix import train, watched
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from hf_transfer import FullFineTune, ImageBackbone, ImageClassification, LinearHead, Recipe, augmenting, run, workers
from hf_transfer.augmenting import AugmentedImages
from hf_transfer.inputs import collator, encode
from hf_transfer.inputs_fused import FusedRows
from hf_transfer.multitask.dataset import JoinedTasks
from hf_transfer.runner import Interrupted

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def backbone(mini_image) -> ImageBackbone:
    return ImageBackbone(str(mini_image), image_size=32, augmentation="crop_flip")


def images(count: int = 6) -> Dataset:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 40, 50, 3), dtype=torch.uint8, generator=draw).numpy()
    return Dataset.from_dict({"image": [Image.fromarray(one) for one in pixels], "label": [0, 1] * (count // 2)})


def epochs(rows, backbone, count: int = 2, **settings) -> list[torch.Tensor]:
    """All images of each epoch, as the net gets them."""
    loader = DataLoader(rows, batch_size=2, collate_fn=collator(backbone, None), **settings)
    found = []
    for epoch in range(count):
        rows.set_epoch(epoch)
        found.append(torch.cat([batch["pixel_values"] for batch in loader]))
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {"num_workers": 1},
        {"num_workers": 2, "persistent_workers": True},
        pytest.param({"num_workers": 1, "multiprocessing_context": "spawn"}, marks=pytest.mark.slow),
    ],
    ids=["one", "two that stay", "spawned, as on macOS and Windows"],
)
def test_workers_see_the_same_images(backbone, settings):
    rows = encode(backbone, backbone.processor(), images(), seed=3)
    assert isinstance(rows, AugmentedImages)
    torch.manual_seed(0)
    alone = epochs(rows, backbone)
    torch.manual_seed(1)  # what the training draws does not matter
    for one, other in zip(alone, epochs(rows, backbone, **settings), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(*alone)


def test_augmentation_is_drawn_by_seed_and_row_and_leaves_the_generators_alone(backbone):
    one_image = images(2)["image"][:1] * 2
    rows = Dataset.from_dict({"image": one_image, "label": [0, 1]})
    processor = backbone.processor()
    before = random.getstate(), torch.get_rng_state()
    first, second = (encode(backbone, processor, rows, seed=seed)[0]["pixel_values"] for seed in (0, 1))
    assert not torch.equal(first, second)
    same, other = (encode(backbone, processor, rows, seed=0)[row]["pixel_values"] for row in (0, 1))
    assert torch.equal(first, same) and not torch.equal(same, other)
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])


def test_an_epoch_reaches_images_within_other_rows(backbone):
    rows = encode(backbone, backbone.processor(), images(), seed=3)
    for outer in (FusedRows({"words": [0] * 6, "image": rows}), JoinedTasks({"one": [0] * 6, "two": rows})):
        rows.set_epoch(0)
        outer.set_epoch(4)
        assert int(rows.epoch) == 4


def recipe(backbone, photos, **training) -> Recipe:
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-2, **training}
    return Recipe(
        "mini", ImageClassification(str(photos)), backbone, LinearHead(dropout=0.5), FullFineTune(), training=training
    )


@pytest.fixture(scope="module")
def alone(backbone, photos, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights that a training without workers leaves; each of its epochs draws for every row anew."""
    folder, drawn = tmp_path_factory.mktemp("runs") / "alone", []
    with pytest.MonkeyPatch.context() as patch:
        draw = augmenting.own_draws
        patch.setattr(augmenting, "own_draws", lambda *numbers: drawn.append(numbers) or draw(*numbers))
        run(recipe(backbone, photos), folder)
    assert sorted(drawn) == [(42, epoch, row) for epoch in (0, 1) for row in range(18)]
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("count", [1, 3])
def test_a_training_does_not_depend_on_its_workers(backbone, photos, tmp_path, alone, count):
    """Dropout too: it draws from the generator that the transforms would otherwise move."""
    run(recipe(backbone, photos, dataloader_num_workers=count), tmp_path / "helped")
    same_bits(alone, tmp_path / "helped")


@pytest.mark.parametrize("count", [0, 3])
def test_nor_on_where_it_was_resumed(backbone, photos, tmp_path, alone, count):
    """Stopped amid the second epoch, and after the first one's last step."""
    one, steps = recipe(backbone, photos, dataloader_num_workers=count), 3  # of an epoch: 18 rows in batches of 6
    for stop in (steps + 1, steps):
        with watched(stop_at=stop), pytest.raises(Interrupted):
            run(one, tmp_path / f"out-{stop}")
        result = run(one, tmp_path / f"out-{stop}", resume=True)
        assert result.data["history"][-1]["step"] == 2 * steps
        same_bits(alone, tmp_path / f"out-{stop}")


def same_bits(expected: dict[str, torch.Tensor], folder: Path) -> None:
    found = load_file(folder / "model.safetensors")
    different = [name for name, tensor in expected.items() if not torch.equal(tensor, found[name])]
    assert not different and len(found) == len(expected)


def test_the_committed_table_says_how_many_workers_and_a_flag_wins(backbone, photos, tmp_path, monkeypatch):

    from hf_transfer import plan

    for table, training, wanted in (
        ({}, {}, 0), ({6: 2}, {}, 2), ({2: 2}, {}, 0), ({6: 2}, {"dataloader_num_workers": 0}, 0),
    ):  # fmt: skip
        monkeypatch.setattr(workers, "WORKERS", table)
        monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
        seen = []
        monkeypatch.setattr(plan, "Plan", lambda *fields, seen=seen: seen.append(fields[1]) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(recipe(backbone, photos, **training), tmp_path / "out")
        assert seen[0].dataloader_num_workers == wanted


def test_beside_a_gpu_the_cores_that_are_left_decode(monkeypatch):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert [workers.default_workers("cuda", processes) for processes in (1, 2, 4, 12, 24)] == [8, 5, 2, 0, 0]
    assert workers.default_workers("cpu") == workers.default_workers("mps") == 0


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_ctrl_c_leaves_a_checkpoint_and_no_worker(tmp_path, mini_image, photos, start):
    if start not in torch.multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    words = [
        "vision/full_finetune", "--data.train", str(photos), "--backbone.checkpoint", str(mini_image),
        "--backbone.image_size", "32", "--per_device_train_batch_size", "4", "--max_steps", "2000",
        "--dataloader_num_workers", "2", "--dataloader_multiprocessing_context", start, "--eval_strategy", "no",
        "--save_strategy", "no", "--logging_strategy", "steps", "--logging_steps", "1",
        "--dataloader_persistent_workers", "--output_dir", str(tmp_path / "out"),
    ]  # fmt: skip
    command = [sys.executable, str(ROOT / "scripts/run_recipe.py"), *words]
    with open(tmp_path / "errors", "w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
    group = process.pid
    limit = time.monotonic() + 120
    while not started(tmp_path / "errors") and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.2)
    os.killpg(group, signal.SIGINT)  # as the terminal does: to the workers too
    assert process.wait(timeout=120) == 130, (tmp_path / "errors").read_text()
    last = (tmp_path / "errors").read_text().strip().splitlines()[-1]
    assert "the checkpoint is in" in last and "Traceback" not in (tmp_path / "errors").read_text()
    limit = time.monotonic() + workers.GRACE_S / 2  # nobody waits for the signal that ends a worker in the end
    while anybody(group) and time.monotonic() < limit:
        time.sleep(0.2)
    assert not anybody(group)


def anybody(group: int) -> bool:
    """Whether a process of this group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def started(errors: Path) -> bool:
    """Whether the bar has shown a step."""
    return any(f"| {step}/2000" in errors.read_text() for step in range(2, 2000))
