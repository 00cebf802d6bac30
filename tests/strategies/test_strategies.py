"""What each strategy says about each depth, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from hf_transfer import BitFit, FrozenFeatures, FullFineTune, GradualUnfreeze, PartialFineTune, UserError
from hf_transfer.groups import group_lines, parameter_groups, span_of_depths
from hf_transfer.schedules import slanted_triangular

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "transfer_methods.json").read_text(encoding="utf-8"))


class Net(nn.Module):
    """An embedding, three blocks and a head; each a linear layer."""

    def __init__(self):
        super().__init__()
        self.embeddings = nn.Linear(2, 2, bias=False)
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.head = nn.Linear(2, 2)


DEPTHS = {"embeddings.weight": 0, "head.weight": 4, "head.bias": 4}
DEPTHS |= {f"blocks.{n}.{part}": n + 1 for n in range(3) for part in ("weight", "bias")}
BLOCK_2 = {"blocks.2.weight", "blocks.2.bias"}
HEAD = {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("strategy", "moving"),
    [
        (FullFineTune(), set(DEPTHS)),
        (FrozenFeatures(), HEAD),
        (PartialFineTune(top=1), HEAD | BLOCK_2),
        (PartialFineTune(top=3), set(DEPTHS) - {"embeddings.weight"}),
        (BitFit(), {name for name in DEPTHS if name.endswith("bias")} | HEAD),
        (GradualUnfreeze(), set(DEPTHS)),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, set) else "",
)
def test_what_ever_moves(strategy, moving):
    net = Net()
    strategy.check(DEPTHS)
    strategy.prepare(net, DEPTHS)
    assert {name for name, parameter in net.named_parameters() if parameter.requires_grad} == moving
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
    assert strategy.trainable(net, DEPTHS) == sum(sizes[name] for name in moving)


def test_discriminative_rates_are_those_of_the_golden_file():
    groups = parameter_groups(Net(), DEPTHS, FullFineTune(layer_decay=1 / 2.6), 1e-3, 0.0, ())
    assert [group["lr"] for group in groups[:4]] == pytest.approx(GOLDEN["ulmfit"]["discriminative_lrs"], rel=1e-12)
    assert [group["name"] for group in groups][:2] == ["head", "block 3"]


def test_the_slanted_triangular_schedule_is_that_of_the_golden_file():
    case = GOLDEN["ulmfit"]["stlr"]
    for step, rate in case["lr_at"].items():
        factor = slanted_triangular(int(step), case["T"], case["cut_frac"], case["ratio"])
        assert case["lr_max"] * factor == pytest.approx(rate, rel=1e-6), step


@pytest.mark.parametrize(
    ("per_epoch", "epochs"), [(1, {4: 0, 3: 1, 2: 2, 1: 3, 0: 4}), (2, {4: 0, 3: 1, 2: 1, 1: 2, 0: 2})]
)
def test_gradual_unfreezing_goes_from_the_head_down(per_epoch, epochs):
    assert {depth: GradualUnfreeze(per_epoch).from_epoch(depth, 4) for depth in range(5)} == epochs


def test_groups_hold_everything_that_moves_once_and_only_weights_decay():
    net, decayed = Net(), {name for name in DEPTHS if name.endswith("weight")}
    strategy = GradualUnfreeze(layer_decay=0.5)
    groups = parameter_groups(strategy.prepare(net, DEPTHS), DEPTHS, strategy, 0.1, 0.01, decayed)
    held = [parameter for group in groups for parameter in group["params"]]
    assert len(held) == len({id(one) for one in held}) == len(DEPTHS)
    assert all((group["weight_decay"] == 0.01) == (group["params"][0].ndim == 2) for group in groups)
    assert [group["from_epoch"] for group in groups] == sorted(group["from_epoch"] for group in groups)
    assert groups[0]["lr"] == 0.1 and groups[-1]["lr"] == pytest.approx(0.1 * 0.5**4)
    torch.optim.AdamW(groups)  # takes what else they hold


def test_equal_rates_make_two_groups():
    groups = parameter_groups(Net(), DEPTHS, FullFineTune(), 0.1, 0.01, {"head.weight"})
    assert [(group["name"], group["lr"]) for group in groups] == [
        ("head", 0.1),
        ("embeddings, blocks 1 to 3 and head, no weight decay", 0.1),
    ]


def test_without_weight_decay_there_is_nothing_to_tell_apart():
    groups = parameter_groups(Net(), DEPTHS, FullFineTune(), 0.1, 0.0, {"head.weight"})
    assert [group["name"] for group in groups] == ["embeddings, blocks 1 to 3 and head"]


def test_the_table_of_groups_says_names_counts_rates_and_steps():
    groups = parameter_groups(Net(), DEPTHS, GradualUnfreeze(layer_decay=0.5), 0.1, 0.1, ())
    lines = group_lines(groups, steps_per_epoch=300)
    assert lines[0].split() == ["parameters", "count", "lr", "from"]
    assert lines[1].split() == ["head,", "no", "weight", "decay", "6", "0.1", "step", "1"]
    assert lines[-1].split() == ["embeddings,", "no", "weight", "decay", "4", "0.00625", "step", "1,201"]


@pytest.mark.parametrize(
    ("depths", "words"),
    [
        ((0, 0), "embeddings"),
        ((2, 2), "block 2"),
        ((1, 3), "blocks 1 to 3"),
        ((4, 4), "head"),
        ((0, 4), "embeddings, blocks 1 to 3 and head"),
        ((3, 4), "block 3 and head"),
        ((0, 1), "embeddings and block 1"),
    ],
)
def test_depths_in_words(depths, words):
    assert span_of_depths(*depths, top=4) == words


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FullFineTune(layer_decay=0), "strategy.layer_decay is 0; allowed: above 0, at most 1"),
        (lambda: BitFit(layer_decay=1.5), "strategy.layer_decay is 1.5"),
        (lambda: PartialFineTune(top=0), "strategy.top is 0; it must be at least 1"),
        (lambda: GradualUnfreeze(0), "strategy.per_epoch is 0"),
        (lambda: PartialFineTune(top=4).check(DEPTHS), "strategy.top is 4; this backbone has 3 blocks"),
        (lambda: BitFit().check({"blocks.0.weight": 1, "head.bias": 2}), "bias terms, and this backbone has none"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(UserError, match=words):
        make()
