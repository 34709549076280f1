"""Maps on which published code was run, and what must not run on a GPU."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

#: Operators that wait for a device.
WAITS = {'_local_scalar_dense', 'nonzero', 'masked_select', 'item'}


def fixture_maps(channels=8):
    """Student with a gradient, of 8 channels or fewer, and teacher.

    Both are (2, 8, 4, 6), float64.
    """
    rs = np.random.RandomState(0)
    student, teacher = (
        torch.from_numpy(2 * rs.randn(2, 8, 4, 6)) for _ in range(2)
    )
    return student[:, :channels].clone().requires_grad_(), teacher


def check_published(value, student, expected, norm, first=None):
    """Compare a loss, the norm of its gradient, and its first entries."""
    (gradient,) = torch.autograd.grad(value, student, retain_graph=True)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert gradient.norm().item() == pytest.approx(norm, rel=1e-12)
    if first is not None:
        found = gradient.flatten()[:3].tolist()
        assert found == pytest.approx(first, rel=1e-11, abs=1e-15)


class Operators(TorchDispatchMode):
    """Names of the operators that ran."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))
