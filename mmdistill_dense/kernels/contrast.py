"""Pixel-wise contrast (PCD) whose logits are never written to memory.

As flash attention (Dao et al., 2022), with the queue as keys and values.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import normalize

from .device import allows_tf32, gpu_properties

#: Lower limit of the norm by which a vector is divided, as in ``normalize``.
_EPS = 1e-12
#: Columns of the queue in a tile.
_COLUMNS_PER_TILE = 32
#: Channels of one partial product, so that the tile fits into registers.
_CHANNELS_PER_DOT = 32
#: Triton's name for float32 products without TF32.
IEEE_PRECISION = 'ieee'


@triton.jit
def contrast(
    unit,
    queue,
    tops,
    sums,
    weighted_sums,
    num_rows,
    channels,
    num_columns,
    queue_stride_channel,
    queue_stride_column,
    log2e_over_tau,
    part_size,
    WITH_GRADIENT: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS_PER_TILE: tl.constexpr,
    COLUMNS_PER_TILE: tl.constexpr,
    PADDED_CHANNELS: tl.constexpr,
    CHANNELS_PER_DOT: tl.constexpr,
):
    row = tl.program_id(0) * ROWS_PER_TILE + tl.arange(0, ROWS_PER_TILE)
    part = tl.program_id(1)
    row_ptrs = unit + row.to(tl.int64)[:, None] * channels
    top = tl.full([ROWS_PER_TILE], float('-inf'), tl.float32)
    negatives_sum = tl.zeros([ROWS_PER_TILE], tl.float32)
    weighted_sum = tl.zeros([ROWS_PER_TILE, PADDED_CHANNELS], tl.float32)
    end = tl.minimum(part * part_size + part_size, num_columns)
    for start in range(part * part_size, end, COLUMNS_PER_TILE):
        column = start + tl.arange(0, COLUMNS_PER_TILE)
        column_ptrs = (
            queue + column.to(tl.int64)[None, :] * queue_stride_column
        )
        cosine = tl.zeros([ROWS_PER_TILE, COLUMNS_PER_TILE], tl.float32)
        for first in range(0, PADDED_CHANNELS, CHANNELS_PER_DOT):
            c = first + tl.arange(0, CHANNELS_PER_DOT)
            s = tl.load(
                row_ptrs + c[None, :],
                (row[:, None] < num_rows) & (c[None, :] < channels),
                0.0,
            )
            q = tl.load(
                column_ptrs + c.to(tl.int64)[:, None] * queue_stride_channel,
                (c[:, None] < channels) & (column[None, :] < num_columns),
                0.0,
            ).to(tl.float32)
            cosine = tl.dot(s, q, cosine, input_precision=PRECISION)
        cosine = tl.where(column[None, :] < num_columns, cosine, float('-inf'))
        higher = tl.maximum(top, tl.max(cosine, 1))
        rescale = tl.exp2((top - higher) * log2e_over_tau)
        p = tl.exp2((cosine - higher[:, None]) * log2e_over_tau)
        negatives_sum = negatives_sum * rescale + tl.sum(p, 1)
        if WITH_GRADIENT:
            c = tl.arange(0, PADDED_CHANNELS)
            q = tl.load(
                column_ptrs + c.to(tl.int64)[:, None] * queue_stride_channel,
                (c[:, None] < channels) & (column[None, :] < num_columns),
                0.0,
            ).to(tl.float32)
            weighted_sum = weighted_sum * rescale[:, None]
            weighted_sum = tl.dot(
                p, tl.trans(q), weighted_sum, input_precision=PRECISION
            )
        top = higher
    c = tl.arange(0, PADDED_CHANNELS)
    weighted_sum_offsets = row.to(tl.int64)[:, None] * channels + c[None, :]
    within = (row[:, None] < num_rows) & (c[None, :] < channels)
    part_row = part.to(tl.int64) * num_rows + row
    tl.store(tops + part_row, top, row < num_rows)
    tl.store(sums + part_row, negatives_sum, row < num_rows)
    if WITH_GRADIENT:
        weighted_sum_offsets += part.to(tl.int64) * num_rows * channels
        tl.store(weighted_sums + weighted_sum_offsets, weighted_sum, within)


@torch.no_grad()
def pixel_contrast(
    student_cells: Tensor,
    targets: Tensor,
    queue: Tensor,
    tau: float,
    with_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Contrast rows with their targets, against a queue of negatives.

    All arithmetic is in float32; TF32 products where
    ``torch.backends.cuda.matmul`` allows them.

    Args:
        student_cells: Student's cells (M, C), not normalised.
        targets: Teacher's cells (M, C), likewise.
        queue: Negatives (C, K), columns of unit L2 norm.
        tau: Temperature.
        with_gradient: Whether to compute the gradient.

    Returns:
        Losses (nats), cosines with the target and with the hardest negative,
        each (M,), and the gradient (M, C) of the losses' sum, empty without
        ``with_gradient``. All float32.
    """
    student_cells, targets = student_cells.float(), targets.float()
    norms = vector_norm(student_cells, dim=1, keepdim=True)
    clamped_norms = norms.clamp_min(_EPS)
    unit, target = student_cells / clamped_norms, normalize(targets, eps=_EPS)
    positive = (unit * target).sum(1)
    hardest, negatives_sum, weighted_sum = _negatives(
        unit, queue, tau, with_gradient
    )
    top = torch.maximum(positive, hardest)
    rescale = ((hardest - top) / tau).exp()
    negatives_sum = negatives_sum * rescale
    denominator = negatives_sum + ((positive - top) / tau).exp()
    losses = denominator.log() + (top - positive) / tau
    gradient = student_cells[:0]
    if with_gradient:
        # Gradient for `unit`: sum_k p_k (q_k - t) / tau. Gradient for
        # `student_cells`: subtract the component along `unit`, divide by the
        # norm.
        gradient = (
            weighted_sum * rescale[:, None] - negatives_sum[:, None] * target
        )
        gradient /= tau * denominator[:, None]
        radial = (gradient * unit).sum(1, keepdim=True) * (norms >= _EPS)
        gradient = (gradient - radial * unit) / clamped_norms
    return losses, positive, hardest, gradient


def _negatives(
    unit: Tensor, queue: Tensor, tau: float, with_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Largest cosine of each row with a column, and sums relative to it.

    Returns:
        Largest cosines (M,), sums of ``exp((cosine - largest) / tau)`` over
        the columns (M,), and sums of the columns weighted with these
        exponentials (M, C).
    """
    num_rows, channels = unit.shape
    padded_channels = max(16, int(triton.next_power_of_2(channels)))
    # As many as fit into registers.
    rows_per_tile = 64 if padded_channels <= 256 else 32
    num_row_tiles = triton.cdiv(num_rows, rows_per_tile)
    part_size, parts = _parts(num_row_tiles, queue)
    tops, sums = unit.new_empty(2, parts, num_rows)
    weighted_sums = unit.new_empty(
        parts, num_rows if with_gradient else 0, channels
    )
    if num_rows:
        with torch.cuda.device_of(unit):
            contrast[(num_row_tiles, parts)](
                unit.contiguous(),
                queue,
                tops,
                sums,
                weighted_sums,
                num_rows,
                channels,
                queue.shape[1],
                *queue.stride(),
                math.log2(math.e) / tau,
                part_size,
                WITH_GRADIENT=with_gradient,
                PRECISION=precision(),
                ROWS_PER_TILE=rows_per_tile,
                COLUMNS_PER_TILE=_COLUMNS_PER_TILE,
                PADDED_CHANNELS=padded_channels,
                CHANNELS_PER_DOT=min(padded_channels, _CHANNELS_PER_DOT),
                num_warps=8,
                num_stages=2,
            )
    if parts == 1:
        return tops[0], sums[0], weighted_sums[0]
    hardest = tops.amax(0)
    scales = ((tops - hardest) / tau).exp()
    if with_gradient:
        weighted_sums = weighted_sums.mul_(scales[:, :, None])
    return hardest, (sums * scales).sum(0), weighted_sums.sum(0)


def _parts(num_row_tiles: int, queue: Tensor) -> tuple[int, int]:
    """Columns of a part and number of parts, enough to fill the GPU."""
    num_columns = queue.shape[1]
    target_programs = 4 * gpu_properties(queue.device).multiprocessors
    parts = triton.cdiv(target_programs, max(1, num_row_tiles))
    # Shorter parts cost more in merging than they save.
    parts = min(parts, triton.cdiv(num_columns, 32 * _COLUMNS_PER_TILE))
    tiles = triton.cdiv(triton.cdiv(num_columns, parts), _COLUMNS_PER_TILE)
    size = tiles * _COLUMNS_PER_TILE
    return size, triton.cdiv(num_columns, size)


def precision() -> str:
    """Precision of float32 products, as set for torch."""
    return 'tf32' if allows_tf32() else IEEE_PRECISION
