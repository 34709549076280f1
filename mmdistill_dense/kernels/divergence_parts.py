"""Kernels of channel-wise distillation (CWD) for maps of any strides.

The states of parts of each channel, their merged state, and the gradient.
State (m_s, l_s, m_t, l_t, w): see ``online_softmax.py``.
"""

import triton
import triton.language as tl

from .cell_offsets import cell_offsets
from .online_softmax import LOWEST, divergence, merge, update


@triton.jit
def part_sums(
    student,
    teacher,
    sums,
    state_stride,  # elements between m_s, l_s, m_t, l_t and w
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
    log2e_over_tau,
    part_size,
    parts,
    FLAT: tl.constexpr,
    REPEAT: tl.constexpr,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):
    tile: tl.constexpr = REPEAT * POSITIONS
    blocks = tl.cdiv(channels, CHANNELS)
    program = tl.program_id(0)
    first = program % blocks * CHANNELS
    part = program // blocks % parts
    n = program // blocks // parts
    s_image_start = student + n.to(tl.int64) * s_image
    t_image_start = teacher + n.to(tl.int64) * t_image
    c = first + tl.arange(0, CHANNELS)[None, :, None]
    repeat = tl.arange(0, REPEAT)[:, None, None] * POSITIONS
    lanes = repeat + tl.arange(0, POSITIONS)[None, None, :]
    m_s = tl.full([CHANNELS, POSITIONS], LOWEST, tl.float32)
    m_t = m_s
    l_s = tl.zeros([CHANNELS, POSITIONS], tl.float32)
    l_t = l_s
    w = l_s
    end = tl.minimum(part * part_size + part_size, size)
    for start in range(part * part_size, end, tile):
        p = start + lanes
        within = (c < channels) & (p < size)
        s_at = cell_offsets(c, p, width, s_channel, s_row, s_column, FLAT)
        t_at = cell_offsets(c, p, width, t_channel, t_row, t_column, FLAT)
        s = tl.load(s_image_start + s_at, within, float('-inf')).to(tl.float32)
        t = tl.load(t_image_start + t_at, within, float('-inf')).to(tl.float32)
        m_s, l_s, m_t, l_t, w = update(
            m_s, l_s, m_t, l_t, w, s, t, within, log2e_over_tau
        )
    m_s, l_s, m_t, l_t, w = merge(m_s, l_s, m_t, l_t, w, log2e_over_tau)
    # -> 5, N C, parts
    c = first + tl.arange(0, CHANNELS)[:, None]
    state_ptrs = sums + (n.to(tl.int64) * channels + c) * parts + part
    tl.store(state_ptrs, m_s, c < channels)
    tl.store(state_ptrs + state_stride, l_s, c < channels)
    tl.store(state_ptrs + 2 * state_stride, m_t, c < channels)
    tl.store(state_ptrs + 3 * state_stride, l_t, c < channels)
    tl.store(state_ptrs + 4 * state_stride, w, c < channels)


@triton.jit
def merge_parts(
    sums,
    state_stride,  # elements between m_s, l_s, m_t, l_t and w
    divergences,
    softmax_params,  # (N * C, 4): m_s, scale / l_s, m_t, scale / l_t
    count,
    parts,
    log2e_over_tau,
    tau,
    scale,
    ROWS: tl.constexpr,
    PARTS: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    part = tl.arange(0, PARTS)[None, :]
    within = (row < count) & (part < parts)
    state_ptrs = sums + row.to(tl.int64) * parts + part
    m_s = tl.load(state_ptrs, within, LOWEST)
    l_s = tl.load(state_ptrs + state_stride, within, 0.0)
    m_t = tl.load(state_ptrs + 2 * state_stride, within, LOWEST)
    l_t = tl.load(state_ptrs + 3 * state_stride, within, 0.0)
    w = tl.load(state_ptrs + 4 * state_stride, within, 0.0)
    m_s, l_s, m_t, l_t, w = merge(m_s, l_s, m_t, l_t, w, log2e_over_tau)
    tl.store(divergences + row, divergence(l_s, l_t, w, tau), row < count)
    tl.store(softmax_params + row * 4, m_s, row < count)
    tl.store(softmax_params + row * 4 + 1, scale / l_s, row < count)
    tl.store(softmax_params + row * 4 + 2, m_t, row < count)
    tl.store(softmax_params + row * 4 + 3, scale / l_t, row < count)


@triton.jit
def gradients(
    student,
    teacher,
    gradient,
    softmax_params,  # (N * C, 4): m_s, scale / l_s, m_t, scale / l_t
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
    g_image,
    g_channel,
    g_row,
    g_column,
    log2e_over_tau,
    FLAT: tl.constexpr,
    CHANNELS: tl.constexpr,
    POSITIONS: tl.constexpr,
):
    # In reverse order: what was read last is still in the cache.
    program = tl.num_programs(0) - 1 - tl.program_id(0)
    blocks = tl.cdiv(channels, CHANNELS)
    tiles = tl.cdiv(size, POSITIONS)
    c = program % blocks * CHANNELS + tl.arange(0, CHANNELS)[:, None]
    p = program // blocks % tiles * POSITIONS
    p = p + tl.arange(0, POSITIONS)[None, :]
    n = (program // blocks // tiles).to(tl.int64)
    row = softmax_params + (n * channels + c) * 4
    m_s = tl.load(row, c < channels, 0.0)
    factor_s = tl.load(row + 1, c < channels, 0.0)
    m_t = tl.load(row + 2, c < channels, 0.0)
    factor_t = tl.load(row + 3, c < channels, 0.0)
    within = (c < channels) & (p < size)
    s_at = cell_offsets(c, p, width, s_channel, s_row, s_column, FLAT)
    t_at = cell_offsets(c, p, width, t_channel, t_row, t_column, FLAT)
    g_at = cell_offsets(c, p, width, g_channel, g_row, g_column, FLAT)
    s_at += n * s_image
    t_at += n * t_image
    g_at += n * g_image
    s = tl.load(student + s_at, within, 0.0).to(tl.float32)
    t = tl.load(teacher + t_at, within, 0.0).to(tl.float32)
    g = (
        tl.exp2((s - m_s) * log2e_over_tau) * factor_s
        - tl.exp2((t - m_t) * log2e_over_tau) * factor_t
    )
    tl.store(gradient + g_at, g.to(gradient.dtype.element_ty), within)
