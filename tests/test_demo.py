"""The embedded checkpoints are the ones they say they are."""

import numpy as np
import pytest
from PIL import Image

from hf_transfer import UserError, demo, demo_files, load_recipe
from hf_transfer.demo_files import made_once


def test_efficientnet_knows_a_palace_and_a_daisy():
    """The packaged weights map onto timm's net in order: scikit-learn's sample pictures come out right."""
    from sklearn.datasets import load_sample_image
    from transformers import pipeline

    folder = made_once("tf_efficientnet_lite0", demo._write_net)
    classify = pipeline("image-classification", model=str(folder))
    for name, word in (("china.jpg", "palace"), ("flower.jpg", "daisy")):
        image = Image.fromarray(np.asarray(load_sample_image(name)))
        assert word in classify(image)[0]["label"]


def test_digits_are_written_whole():
    folder = made_once("mnist-5k", demo._write_digits)
    assert {entry.name: len(list(entry.iterdir())) for entry in folder.iterdir()} == {str(i): 500 for i in range(10)}


def test_an_absent_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(demo_files, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'hf-transfer-recipes\[demo\]'"):
        demo.demo_recipe(load_recipe("text/linear_probe"))


def test_a_mirrored_digit_is_another_digit():
    assert demo.demo_recipe(load_recipe("vision/full_finetune")).backbone.augmentation == "crop"
    assert demo.demo_recipe(load_recipe("vision/linear_probe")).backbone.augmentation == "none"


def test_pretraining_is_cut_to_minutes_and_a_target_of_few_pictures_follows():
    mlm, simclr = (demo.demo_recipe(load_recipe(f"pretraining/{name}")) for name in ("mlm", "simclr"))
    assert mlm.training["num_train_epochs"] == 1 and mlm.training["learning_rate"] == 5e-5
    assert simclr.training["per_device_train_batch_size"] == 64
    before, target = demo.demo_recipe(load_recipe("pipelines/simclr_then_transfer")).recipes
    assert before == simclr and target.data.train_per_class == 50
    assert simclr.backbone.image_size == target.backbone.image_size == 48
    assert demo.demo_recipe(load_recipe("vision/full_finetune")).data.train_per_class is None
