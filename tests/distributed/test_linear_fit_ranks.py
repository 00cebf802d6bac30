"""On two ranks one fits a linear head and both have it."""

import json

import pytest
from ranks import launched

SCRIPT = """
import json, sys
import torch
from accelerate import PartialState
from hf_transfer.errors import UserError
from hf_transfer.linear.fit import fit_linear, fit_on_main
from hf_transfer.objectives import Supervised

state = PartialState(cpu=True)
assert state.num_processes == 2
torch.manual_seed(state.process_index)  # what a rank held before must not matter
layer = torch.nn.Linear(4, 3)
generator = torch.Generator().manual_seed(0)
rows, labels = torch.randn(60, 4, generator=generator), torch.randint(0, 3, (60,), generator=generator)
called = []

def fit():
    called.append(True)
    if sys.argv[2] == "mistake":
        raise UserError("a mistake of the user")
    if sys.argv[2] == "defect":
        raise ZeroDivisionError("a defect of ours")
    return fit_linear(layer, rows, labels, rows, labels, Supervised().build("single_label_classification"), l2=0.1)

said = {}
try:
    said["outcome"] = fit_on_main(state, layer, fit)
except Exception as error:
    said["error"] = f"{type(error).__name__}: {error}"
said["called"] = len(called)
said["weights"] = [layer.weight.tolist(), layer.bias.tolist()]
with open(f"{sys.argv[1]}/{state.process_index}.json", "w") as file:
    json.dump(said, file)
state.destroy_process_group()
"""


@pytest.fixture
def launch(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(SCRIPT)

    def start(case: str) -> list[dict]:
        launched(2, script, tmp_path, case)
        return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]

    return start


def test_one_fits_and_both_have_it(launch):
    main, other = launch("fit")
    assert (main["called"], other["called"]) == (1, 0)
    assert main["outcome"] == other["outcome"] and main["outcome"]["fit"] == "lbfgs"
    assert main["weights"] == other["weights"]


@pytest.mark.parametrize(
    ("case", "main_says", "other_says"),
    [
        ("mistake", "UserError: a mistake of the user", "UserError: a mistake of the user"),
        (
            "defect",
            "ZeroDivisionError: a defect of ours",
            "RuntimeError: the fit failed on the main process: a defect of ours",
        ),
    ],
)
def test_a_failure_reaches_the_rank_that_waits(launch, case, main_says, other_says):
    main, other = launch(case)
    assert (main["error"], other["error"]) == (main_says, other_says)
