"""Precision of all contenders: autocast, or TF32 for float32."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

#: Dtypes of autocast.
DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def autocast(device: str, precision: str) -> AbstractContextManager:
    """Autocast in a low precision; otherwise a null context."""
    if precision not in DTYPES:
        return nullcontext()
    return torch.autocast(device, DTYPES[precision])


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Set the precision of matrix products and convolutions, then restore it.

    torch's default is TF32 in convolutions only.

    Args:
        precision: ``fp32`` disables TF32, ``tf32`` enables it; any other
            precision changes nothing.
    """
    if precision not in ('fp32', 'tf32'):
        yield
        return
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = precision == 'tf32'
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value
