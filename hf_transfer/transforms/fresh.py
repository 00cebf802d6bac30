"""A model as its architecture draws it, before any training."""

import copy

import torch


def fresh_state(model) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers of another model of the same configuration, with weights of its own.

    They depend on the seed of the training alone, and the draws that follow do not depend on them.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(torch.initial_seed() % 2**63)
        return type(model)(copy.deepcopy(model.config)).float().state_dict()
