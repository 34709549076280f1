"""A minimal kernel that tests whether kernels run."""

import torch
import triton
import triton.language as tl


@triton.jit
def add_one(pointer):
    tl.store(pointer, tl.load(pointer) + 1)


def trial(device: torch.device) -> torch.Tensor:
    """Compile and launch a kernel, without synchronisation; returns 1."""
    value = torch.zeros(1, device=device)
    with torch.cuda.device_of(value):
        add_one[(1,)](value)
    return value
