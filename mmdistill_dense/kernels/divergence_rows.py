"""CWD for contiguous positions: a program processes whole channels."""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from .device import gpu_properties
from .online_softmax import LOWEST, divergence, merge, update
from .strides import MapStrides

#: Positions that a warp reads at once, with one or more values per lane.
_STRIP = 512


@triton.jit
def rows(
    student,
    teacher,
    gradient,
    divergences,
    count,
    channels,
    size,
    s_image,
    s_channel,
    t_image,
    t_channel,
    g_image,
    g_channel,
    log2e_over_tau,
    tau,
    scale,
    WRITES: tl.constexpr,
    REPEAT: tl.constexpr,
    LANES: tl.constexpr,
):
    tile: tl.constexpr = REPEAT * LANES
    repeat = tl.arange(0, REPEAT)[:, None, None] * LANES
    lanes = repeat + tl.arange(0, LANES)[None, None, :]
    for row in range(tl.program_id(0), count, tl.num_programs(0)):
        n = (row // channels).to(tl.int64)
        c = (row % channels).to(tl.int64)
        s_row = student + n * s_image + c * s_channel
        t_row = teacher + n * t_image + c * t_channel
        m_s = tl.full([1, LANES], LOWEST, tl.float32)
        m_t = m_s
        l_s = tl.zeros([1, LANES], tl.float32)
        l_t = l_s
        w = l_s
        for start in range(0, size, tile):
            p = start + lanes
            within = p < size
            s = tl.load(s_row + p, within, float('-inf')).to(tl.float32)
            t = tl.load(t_row + p, within, float('-inf')).to(tl.float32)
            m_s, l_s, m_t, l_t, w = update(
                m_s, l_s, m_t, l_t, w, s, t, within, log2e_over_tau
            )
        m_s, l_s, m_t, l_t, w = merge(m_s, l_s, m_t, l_t, w, log2e_over_tau)
        one = divergences + row + tl.arange(0, 1)[:, None]
        tl.store(one, divergence(l_s, l_t, w, tau))
        if WRITES:
            g_row = gradient + n * g_image + c * g_channel
            factor_s = scale / l_s
            factor_t = scale / l_t
            # In reverse order: what was read last is still in the cache.
            last = (size - 1) // tile * tile
            for back in range(0, size, tile):
                p = last - back + lanes
                within = p < size
                s = tl.load(
                    s_row + p, within, 0.0, eviction_policy='evict_first'
                ).to(tl.float32)
                t = tl.load(
                    t_row + p, within, 0.0, eviction_policy='evict_first'
                ).to(tl.float32)
                g = (
                    tl.exp2((s - m_s) * log2e_over_tau) * factor_s
                    - tl.exp2((t - m_t) * log2e_over_tau) * factor_t
                )
                tl.store(
                    g_row + p,
                    g.to(gradient.dtype.element_ty),
                    within,
                    eviction_policy='evict_first',
                )


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
    count = student.shape[0] * student.shape[1]
    divergences = student.new_empty(student.shape[:2], dtype=torch.float32)
    warps = warps_of(maps.width)
    # A lane reads 16 bytes at once; with fewer lanes two threads would share
    # one and wait for each other.
    sizes = student.element_size(), teacher.element_size()
    lanes = 512 // min(sizes)
    rows[(programs(student, teacher, warps),)](
        student,
        teacher,
        student if gradient is None else gradient,
        divergences,
        count,
        student.shape[1],
        maps.width,
        *(stride for strides in maps.strides for stride in strides[:2]),
        math.log2(math.e) / tau,
        tau,
        scale,
        WRITES=gradient is not None,
        REPEAT=_STRIP // lanes,
        LANES=lanes * warps,
        num_warps=warps,
    )
    return divergences


def warps_of(size: int) -> int:
    """Warps for a channel of ``size`` positions."""
    tiles: int = triton.cdiv(size, _STRIP)
    return min(16, int(triton.next_power_of_2(tiles)))


def programs(student: Tensor, teacher: Tensor, warps: int) -> int:
    """Number of channels to process at a time.

    As many as fit into the cache, so that the second read hits it, but at
    least one and at most 32 warps per processor.
    """
    gpu = gpu_properties(student.device)
    count = student.shape[0] * student.shape[1]
    size = student.shape[2] * student.shape[3]
    row = size * (student.element_size() + teacher.element_size())
    cached = gpu.cache // 2 // (row * gpu.multiprocessors)
    return min(count, gpu.multiprocessors * max(1, min(32 // warps, cached)))
