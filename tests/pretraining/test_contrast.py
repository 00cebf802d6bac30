"""NT-Xent against its formula, and the views it contrasts."""

import math

import pytest
import torch
from datasets import Dataset, Image
from torch.nn.functional import normalize

from hf_transfer import ImageBackbone, ProjectionHead, UserError
from hf_transfer.pretraining.contrast import NTXentLoss, nt_xent
from hf_transfer.pretraining.views import Views, collate_views, view_transform


def by_the_formula(first, second, temperature):
    """Chen et al. 2020, equation 1, written with loops; summed over images."""
    z, count = torch.cat([first, second]), len(first)
    total = 0.0
    for i in range(2 * count):
        j = (i + count) % (2 * count)
        scores = [math.exp(float(z[i] @ z[k]) / temperature) for k in range(2 * count) if k != i]
        total -= math.log(math.exp(float(z[i] @ z[j]) / temperature) / sum(scores))
    return total / 2


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_the_papers(temperature):
    torch.manual_seed(0)
    first, second = normalize(torch.randn(5, 8), dim=-1), normalize(torch.randn(5, 8), dim=-1)
    found = nt_xent(first, second, temperature)
    assert float(found) == pytest.approx(by_the_formula(first, second, temperature), rel=1e-5)


def test_closed_forms():
    eye = torch.eye(4, 8)  # every image is orthogonal to the others, its views are equal
    expected = 4 * math.log(1 + 6 * math.exp(-1 / 0.5))
    assert float(nt_xent(eye, eye, 0.5)) == pytest.approx(expected, rel=1e-6)
    same = torch.ones(4, 1)  # nothing tells anything apart: chance among 2N - 1
    assert float(nt_xent(same, same, 0.5)) == pytest.approx(4 * math.log(7), rel=1e-6)


def test_views_follow_seed_epoch_and_row_and_leave_the_global_generators_alone(photos, mini_image):
    files = sorted(str(path) for path in photos.rglob("*.png"))[:4]
    rows = Dataset.from_dict({"image": files}).cast_column("image", Image())
    backbone = ImageBackbone(str(mini_image), image_size=32)
    views = Views(rows, backbone, view_transform(backbone, backbone.processor()), seed=1)
    before = torch.get_rng_state()
    first, second = views[2]
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    again, _ = views[2]
    assert torch.equal(first, again)
    assert not torch.equal(first, views[4 + 2][0])  # the next epoch
    batch = collate_views([views[0], views[1]])
    assert batch["pixel_values"].shape == (4, 3, 32, 32) and len(batch["labels"]) == 2
    assert torch.equal(batch["pixel_values"][1], views[1][0])  # first views, then second ones


def test_without_augmentation_there_are_no_two_views(mini_image):
    backbone = ImageBackbone(str(mini_image), augmentation="none")
    with pytest.raises(UserError, match="augmentation"):
        view_transform(backbone, backbone.processor())


def test_the_projection_has_the_sizes_of_its_spec():
    loss = NTXentLoss(24, ProjectionHead(hidden_size=0, size=6))
    assert [tuple(p.shape) for p in loss.project.parameters()] == [(24, 24), (24,), (6, 24), (6,)]
