"""Squared differences of two maps (MasKD); source: functional."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .cell_offsets import cell_offsets
from .device import gpu_properties
from .strides import MapStrides, map_strides

#: Lanes of a tile: channels times positions.
_LANES = 2048


@triton.jit
def error_map(
    student,
    teacher,
    difference,
    errors,
    channels,
    size,
    width,
    s_image,
    s_channel,
    s_row,
    s_column,
    t_image,
    t_channel,
    t_row,
    t_column,
    d_image,
    d_channel,
    d_row,
    d_column,
    FLAT: tl.constexpr,
    WRITES: tl.constexpr,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):
    tiles = tl.cdiv(size, POSITIONS)
    program = tl.program_id(0)
    first = program % tiles * POSITIONS
    n = (program // tiles).to(tl.int64)
    p = first + tl.arange(0, POSITIONS)[None, :]
    total = tl.zeros([CHANNELS, POSITIONS], tl.float32)
    for start in range(0, channels, CHANNELS):
        c = start + tl.arange(0, CHANNELS)[:, None]
        within = (c < channels) & (p < size)
        s_at = cell_offsets(c, p, width, s_channel, s_row, s_column, FLAT)
        t_at = cell_offsets(c, p, width, t_channel, t_row, t_column, FLAT)
        s_at += n * s_image
        t_at += n * t_image
        s = tl.load(student + s_at, within, 0.0).to(tl.float32)
        t = tl.load(teacher + t_at, within, 0.0).to(tl.float32)
        d = s - t
        if WRITES:
            d_at = cell_offsets(c, p, width, d_channel, d_row, d_column, FLAT)
            d_at += n * d_image
            written = d.to(difference.dtype.element_ty)
            tl.store(difference + d_at, written, within)
        total += d * d
    p = first + tl.arange(0, POSITIONS)
    mean = tl.sum(total, 0) / channels
    tl.store(errors + n * size + p, mean, p < size)


def squared_error(
    student: Tensor, teacher: Tensor, difference: Tensor | None = None
) -> Tensor:
    r"""Mean over channels of :math:`(S - T)^2`, in float32.

    Args:
        student: Map of shape (N, C, H, W), any strides.
        teacher: Map of the same shape; dtype and strides may differ.
        difference: Output for S - T, a map of the same shape, any dtype, and
            strides that do not overlap.

    Returns:
        Errors of shape (N, H, W), float32.
    """
    n, channels, height, width = student.shape
    maps = map_strides(
        student, teacher, student if difference is None else difference
    )
    errors = torch.empty(
        n, height, width, device=student.device, dtype=torch.float32
    )
    block, positions = tile_of(student, maps)
    size = height * width
    with torch.cuda.device_of(student):
        error_map[(n * triton.cdiv(size, positions),)](
            student,
            teacher,
            student if difference is None else difference,
            errors,
            channels,
            size,
            maps.width,
            *(stride for strides in maps.strides for stride in strides),
            FLAT=maps.width == size,
            WRITES=difference is not None,
            CHANNELS=block,
            POSITIONS=positions,
        )
    return errors


def tile_of(student: Tensor, maps: MapStrides) -> tuple[int, int]:
    """Channels and positions of a tile, longer along contiguous memory."""
    n, channels, height, width = student.shape
    positions = 64
    if maps.positions_first:
        programs = n * triton.cdiv(height * width, 128)
        few = programs < 2 * gpu_properties(student.device).multiprocessors
        # Small maps need many programs; a cache line is 32 floats.
        positions = 32 if few else 128
    elif maps.channels_first:
        positions = _LANES // 256
    block = min(_LANES // positions, int(triton.next_power_of_2(channels)))
    return block, positions
