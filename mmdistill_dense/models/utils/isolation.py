"""Run something of ours without leaving a trace in the student's training."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def forked_rng() -> Iterator[None]:
    """Restore the CPU generators of torch, numpy and python afterwards.

    What runs inside starts from the present state, so it depends on the
    run's seed, and what comes after does not depend on it.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; every module's own flag comes back.

    Flags are restored one by one: ``train()`` of a model with frozen stages
    would not bring back what a user has set.
    """
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags:
            module.training = flag
