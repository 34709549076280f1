"""Contexts that keep random state and training flags unchanged."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def forked_rng() -> Iterator[None]:
    """Restore the CPU generators of torch, numpy and python afterwards.

    Code inside starts from the current state, so it depends on the seed of
    the run; code after it is not affected.
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
    """Eval mode without gradients; restores the flag of every module.

    Flags are restored one by one: ``train()`` of a model with frozen stages
    would not restore what a user has set.
    """
    flags = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags:
            module.training = flag
