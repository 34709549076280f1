"""Losses in single precision, also for half precision inputs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def full_precision(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Disable autocast and cast half precision tensors to float32.

    float32 and float64 tensors pass unchanged, so that a loss in float64
    stays exact to its last digit.

    Yields:
        The tensors, in the order of the arguments.
    """
    device = tensors[0].device.type
    with torch.autocast(device_type=device, enabled=False):
        yield tuple(
            x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
            for x in tensors
        )
