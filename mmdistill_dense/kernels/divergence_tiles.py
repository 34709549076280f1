"""CWD for any strides: channels are split into parts, which are merged."""

import math
from functools import partial
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from .device import gpu_properties
from .divergence_parts import gradients, merge_parts, part_sums
from .strides import MapStrides

#: Values that a lane reads at once.
_REPEAT = 4
#: Lanes of a tile: channels times positions.
_LANES = 1024
#: Warps per tile. With 4, Triton before 3.7 does not fit the values into
#: registers and spills up to kilobytes per thread.
WARPS = 8
#: Parts that one program can merge.
_MAX_PARTS = 1024


class Tiling(NamedTuple):
    """Tiles of a map, and parts of its channels."""

    lanes: tuple[int, int]  # channels and positions of a tile
    part_size: int  # positions of a part, whole tiles
    parts: int


def channel_wise(
    student: Tensor,
    teacher: Tensor,
    tau: float,
    gradient: Tensor | None,
    scale: float,
    *,
    maps: MapStrides,
) -> Tensor:
    """See :func:`mmdistill_dense.kernels.divergence.channel_wise`."""
    new = partial(torch.empty, device=student.device, dtype=torch.float32)
    n, channels, *_ = student.shape
    size = student.shape[2] * student.shape[3]
    shape = channels, size, maps.width
    count, log2e_over_tau = n * channels, math.log2(math.e) / tau
    (block, positions), part_size, parts = tiling_of(student, maps)
    blocks = triton.cdiv(channels, block)
    constants = dict(
        FLAT=maps.width == size, CHANNELS=block, POSITIONS=positions
    )
    strides = [stride for strides in maps.strides for stride in strides]
    sums = new(5, count, parts)
    part_sums[(n * blocks * parts,)](
        student,
        teacher,
        sums,
        count * parts,
        *shape,
        *strides[:8],
        log2e_over_tau,
        part_size,
        parts,
        REPEAT=_REPEAT,
        **constants,
        num_warps=WARPS,
    )
    divergences, softmax_params = new(n, channels), new(count, 4)
    lanes = triton.next_power_of_2(parts)
    rows = max(1, 128 // lanes)
    merge_parts[(triton.cdiv(count, rows),)](
        sums,
        count * parts,
        divergences,
        softmax_params,
        count,
        parts,
        log2e_over_tau,
        tau,
        scale,
        ROWS=rows,
        PARTS=lanes,
    )
    if gradient is not None:
        tiles = triton.cdiv(size, positions)
        gradients[(n * blocks * tiles,)](
            student,
            teacher,
            gradient,
            softmax_params,
            *shape,
            *strides,
            log2e_over_tau,
            **constants,
        )
    return divergences


def tiling_of(student: Tensor, maps: MapStrides) -> Tiling:
    """Tiles along contiguous memory, and enough parts to fill the GPU."""
    n, channels, *_ = student.shape
    size = student.shape[2] * student.shape[3]
    # 32 of both if the maps differ in their contiguous dimension.
    most = 1 if maps.positions_first else 64 if maps.channels_first else 32
    block = min(most, int(triton.next_power_of_2(channels)))
    tile = _LANES // block * _REPEAT
    target = 8 * gpu_properties(student.device).multiprocessors
    parts = triton.cdiv(target, n * triton.cdiv(channels, block))
    parts = min(parts, triton.cdiv(size, tile), _MAX_PARTS)
    part_size = triton.cdiv(triton.cdiv(size, parts), tile) * tile
    return Tiling(
        (block, _LANES // block), part_size, triton.cdiv(size, part_size)
    )
