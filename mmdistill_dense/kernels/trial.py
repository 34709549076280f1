"""The smallest kernel, to see whether any runs."""

import torch
import triton
import triton.language as tl


@triton.jit
def add_one(pointer):
    tl.store(pointer, tl.load(pointer) + 1)


def trial(device: torch.device) -> torch.Tensor:
    """Compile and start a kernel; its result, 1, need not be waited for."""
    value = torch.zeros(1, device=device)
    with torch.cuda.device_of(value):
        add_one[(1,)](value)
    return value
