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

from .device import allows_tf32, machine

#: Lower limit of the length by which a vector is divided, as in ``normalize``.
_EPS = 1e-12
#: Columns of the queue in a tile.
_COLUMNS = 32
#: Channels of one partial product, so that the tile fits into registers.
_BLOCK = 32
#: Triton's name for float32 products without TF32.
IEEE_PRECISION = 'ieee'


@triton.jit
def contrast(
    unit,
    queue,
    tops,
    sums,
    means,
    rows,
    channels,
    columns,
    q_channel,
    q_column,
    k,
    part_size,
    WITH_GRADIENT: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    part = tl.program_id(1)
    s_rows = unit + row.to(tl.int64)[:, None] * channels
    top = tl.full([ROWS], float('-inf'), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mean = tl.zeros([ROWS, CHANNELS], tl.float32)
    end = tl.minimum(part * part_size + part_size, columns)
    for start in range(part * part_size, end, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        q_columns = queue + column.to(tl.int64)[None, :] * q_column
        cosine = tl.zeros([ROWS, COLUMNS], tl.float32)
        for first in range(0, CHANNELS, BLOCK):
            c = first + tl.arange(0, BLOCK)
            s = tl.load(
                s_rows + c[None, :],
                (row[:, None] < rows) & (c[None, :] < channels),
                0.0,
            )
            q = tl.load(
                q_columns + c.to(tl.int64)[:, None] * q_channel,
                (c[:, None] < channels) & (column[None, :] < columns),
                0.0,
            ).to(tl.float32)
            cosine = tl.dot(s, q, cosine, input_precision=PRECISION)
        cosine = tl.where(column[None, :] < columns, cosine, float('-inf'))
        higher = tl.maximum(top, tl.max(cosine, 1))
        rescale = tl.exp2((top - higher) * k)
        p = tl.exp2((cosine - higher[:, None]) * k)
        total = total * rescale + tl.sum(p, 1)
        if WITH_GRADIENT:
            c = tl.arange(0, CHANNELS)
            q = tl.load(
                q_columns + c.to(tl.int64)[:, None] * q_channel,
                (c[:, None] < channels) & (column[None, :] < columns),
                0.0,
            ).to(tl.float32)
            mean = mean * rescale[:, None]
            mean = tl.dot(p, tl.trans(q), mean, input_precision=PRECISION)
        top = higher
    c = tl.arange(0, CHANNELS)
    here = row.to(tl.int64)[:, None] * channels + c[None, :]
    within = (row[:, None] < rows) & (c[None, :] < channels)
    line = part.to(tl.int64) * rows + row
    tl.store(tops + line, top, row < rows)
    tl.store(sums + line, total, row < rows)
    if WITH_GRADIENT:
        here += part.to(tl.int64) * rows * channels
        tl.store(means + here, mean, within)


@torch.no_grad()
def pixel_contrast(
    rows: Tensor,
    targets: Tensor,
    queue: Tensor,
    tau: float,
    with_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Contrast rows with their targets, against a queue of negatives.

    All arithmetic is in float32; TF32 products where
    ``torch.backends.cuda.matmul`` allows them.

    Args:
        rows: Student's cells (M, C), not normalised.
        targets: Teacher's cells (M, C), likewise.
        queue: Negatives (C, K), columns of length 1.
        tau: Temperature.
        with_gradient: Whether to compute the gradient.

    Returns:
        Losses (nats), cosines with the target and with the hardest negative,
        each (M,), and the gradient (M, C) of the losses' sum, empty without
        ``with_gradient``. All float32.
    """
    rows, targets = rows.float(), targets.float()
    lengths = vector_norm(rows, dim=1, keepdim=True)
    safe = lengths.clamp_min(_EPS)
    unit, target = rows / safe, normalize(targets, eps=_EPS)
    positive = (unit * target).sum(1)
    hardest, total, means = _negatives(unit, queue, tau, with_gradient)
    top = torch.maximum(positive, hardest)
    rescale = ((hardest - top) / tau).exp()
    total = total * rescale
    whole = total + ((positive - top) / tau).exp()
    losses = whole.log() + (top - positive) / tau
    gradient = rows[:0]
    if with_gradient:
        # Sum over k of the softmax's p_k (q_k - t), then through the
        # normalisation, which removes the component along the unit vector.
        gradient = means * rescale[:, None] - total[:, None] * target
        gradient /= tau * whole[:, None]
        along = (gradient * unit).sum(1, keepdim=True) * (lengths >= _EPS)
        gradient = (gradient - along * unit) / safe
    return losses, positive, hardest, gradient


def _negatives(
    unit: Tensor, queue: Tensor, tau: float, with_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Per row: the largest cosine with a column, and relative to it the sum
    of exponentials (M,) and the columns weighted with them (M, C)."""
    count, channels = unit.shape
    lanes = max(16, int(triton.next_power_of_2(channels)))
    rows = 64 if lanes <= 256 else 32  # as many as fit into registers
    blocks = triton.cdiv(count, rows)
    part_size, parts = _parts(blocks, queue)
    tops, sums = unit.new_empty(2, parts, count)
    means = unit.new_empty(parts, count if with_gradient else 0, channels)
    if count:
        with torch.cuda.device_of(unit):
            contrast[(blocks, parts)](
                unit.contiguous(),
                queue,
                tops,
                sums,
                means,
                count,
                channels,
                queue.shape[1],
                *queue.stride(),
                math.log2(math.e) / tau,
                part_size,
                WITH_GRADIENT=with_gradient,
                PRECISION=precision(),
                ROWS=rows,
                COLUMNS=_COLUMNS,
                CHANNELS=lanes,
                BLOCK=min(lanes, _BLOCK),
                num_warps=8,
                num_stages=2,
            )
    if parts == 1:
        return tops[0], sums[0], means[0]
    hardest = tops.amax(0)
    scales = ((tops - hardest) / tau).exp()
    if with_gradient:
        means = means.mul_(scales[:, :, None])
    return hardest, (sums * scales).sum(0), means.sum(0)


def _parts(blocks: int, queue: Tensor) -> tuple[int, int]:
    """Columns of a part and number of parts, enough to fill the GPU."""
    columns = queue.shape[1]
    target = 4 * machine(queue.device).multiprocessors
    parts = triton.cdiv(target, max(1, blocks))
    # Shorter parts cost more in merging than they save.
    parts = min(parts, triton.cdiv(columns, 32 * _COLUMNS))
    size = triton.cdiv(triton.cdiv(columns, parts), _COLUMNS) * _COLUMNS
    return size, triton.cdiv(columns, size)


def precision() -> str:
    """Precision of float32 products, as set for torch."""
    return 'tf32' if allows_tf32() else IEEE_PRECISION
