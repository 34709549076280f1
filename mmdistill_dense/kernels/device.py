"""Whether Triton kernels run on a device, and how large it is."""

import functools
import warnings
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

_DTYPES = torch.float32, torch.float16, torch.bfloat16
#: Fake and distributed tensors have no memory on this device.
_PLAIN = Tensor, Parameter


class GpuProperties(NamedTuple):
    """Properties that decide the size of a launch."""

    multiprocessors: int
    cache: int  # bytes of the L2 cache


def usable(*tensors: Tensor) -> bool:
    """Whether a Triton kernel supports these tensors.

    True for plain float32, float16 and bfloat16 tensors on one CUDA
    device where a trial kernel ran, outside of ``torch.compile`` and
    ``torch.export``, which cannot trace it.
    """
    if not tensors or not all(map(_plain, tensors)):
        return False
    device = tensors[0].device
    return (
        all(x.device == device for x in tensors)
        and not torch.compiler.is_compiling()
        and _supports(device, any(x.dtype == torch.bfloat16 for x in tensors))
    )


def _plain(x: Tensor) -> bool:
    return type(x) in _PLAIN and x.is_cuda and x.dtype in _DTYPES


def _supports(device: torch.device, with_bfloat16: bool) -> bool:
    major, _ = torch.cuda.get_device_capability(device)
    return major >= (8 if with_bfloat16 else 7) and runs(device)


@functools.cache
def runs(device: torch.device) -> bool:
    """Whether a kernel compiles and runs on a device; warns once if not.

    Triton may be missing, find no compiler for its launcher, or not support
    an old device. Training continues without kernels then.
    """
    try:
        from .trial import trial

        trial(device)
    except Exception as error:
        warnings.warn(
            f'Triton kernels do not run on {device}, so losses are computed '
            'without them, which is slower: '
            f'{type(error).__name__}: {error}',
            stacklevel=2,
        )
        return False
    return True


def allows_tf32() -> bool:
    """Whether torch may multiply float32 matrices in TF32 on CUDA devices.

    From torch 2.9 on ``fp32_precision`` is valid whichever switch was set,
    and ``allow_tf32`` raises if the newer one was used.
    """
    matmul = torch.backends.cuda.matmul
    try:
        return bool(matmul.fp32_precision == 'tf32')
    except AttributeError:
        return bool(matmul.allow_tf32)


@functools.cache
def gpu_properties(device: torch.device) -> GpuProperties:
    """Size of a CUDA device; a small one for Triton's interpreter."""
    if device.type != 'cuda':
        return GpuProperties(4, 2**20)
    properties = torch.cuda.get_device_properties(device)
    return GpuProperties(
        properties.multi_processor_count, properties.L2_cache_size
    )
