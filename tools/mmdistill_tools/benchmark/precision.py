"""Precisions, for all contenders alike: autocast, or TF32 for float32."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

#: Those of autocast.
DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def autocast(device: str, precision: str) -> AbstractContextManager:
    """Autocast in a low precision; nothing in others."""
    if precision not in DTYPES:
        return nullcontext()
    return torch.autocast(device, DTYPES[precision])


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Set matrix products and convolutions, and put them back afterwards.

    torch's own default is TF32 in convolutions alone.

    Args:
        precision: ``fp32`` for none in TF32, ``tf32`` for all; in any other
            precision nothing is set.
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
