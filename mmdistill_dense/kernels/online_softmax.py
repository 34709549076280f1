"""Online softmax: sums of two softmaxes that are read piece by piece.

State after some values of a channel, of student s and teacher t:

- ``m_s``, ``m_t``: their maxima;
- ``l_s``, ``l_t``: the sums of ``exp((s - m_s) / tau)``, likewise of t;
- ``w``: the sum of ``exp((t - m_t) / tau) * ((t - m_t) - (s - m_s))``.

The divergence is then ``w / (l_t tau) - log(l_t) + log(l_s)``. Differences
are taken before scaling, so that a large constant in a channel costs no
digits. ``log2e_over_tau`` is ``log2(e) / tau``.
"""

import triton
import triton.language as tl

#: Initial maximum, below every value; finite, so that no difference is NaN.
LOWEST = tl.constexpr(-1.7e38)


@triton.jit
def update(m_s, l_s, m_t, l_t, w, s, t, within, log2e_over_tau):
    """Add values (R, ...) to the state (...); those not ``within`` are -inf.

    Each lane of a tile has a state of its own, over R values of a thread, so
    that no thread waits for another.
    """
    top_s = tl.maximum(m_s, tl.max(s, 0))
    top_t = tl.maximum(m_t, tl.max(t, 0))
    l_s = l_s * tl.exp2((m_s - top_s) * log2e_over_tau)
    w = w - l_t * ((top_t - m_t) - (top_s - m_s))
    rescale = tl.exp2((m_t - top_t) * log2e_over_tau)
    from_s = s - tl.expand_dims(top_s, 0)
    from_t = t - tl.expand_dims(top_t, 0)
    e_t = tl.exp2(from_t * log2e_over_tau)
    l_s += tl.sum(tl.exp2(from_s * log2e_over_tau), 0)
    l_t = l_t * rescale + tl.sum(e_t, 0)
    # Not within: inf - inf.
    gap = tl.where(within, from_t - from_s, 0.0)
    w = w * rescale + tl.sum(e_t * gap, 0)
    return top_s, l_s, top_t, l_t, w


@triton.jit
def merge(m_s, l_s, m_t, l_t, w, log2e_over_tau):
    """Merge the states (A, B) of B parts into states (A, 1)."""
    top_s = tl.max(m_s, 1, keep_dims=True)
    top_t = tl.max(m_t, 1, keep_dims=True)
    w = w - l_t * ((top_t - m_t) - (top_s - m_s))
    rescale = tl.exp2((m_t - top_t) * log2e_over_tau)
    w = tl.sum(w * rescale, 1, keep_dims=True)
    l_t = tl.sum(l_t * rescale, 1, keep_dims=True)
    l_s = tl.sum(
        l_s * tl.exp2((m_s - top_s) * log2e_over_tau), 1, keep_dims=True
    )
    return top_s, l_s, top_t, l_t, w


@triton.jit
def divergence(l_s, l_t, w, tau):
    """KL(teacher | student) of a channel, from its final state."""
    return w / (l_t * tau) + (tl.log(l_s) - tl.log(l_t))
