"""Addresses of cells of a map, in any layout."""

import triton
import triton.language as tl


@triton.jit
def cell_offsets(c, p, width, channel, row, column, FLAT: tl.constexpr):
    """Where channels c and positions p of an image lie, in 64 bits."""
    along = c.to(tl.int64) * channel
    if FLAT:
        along += p.to(tl.int64) * column
    else:
        along += (p // width).to(tl.int64) * row
        along += (p % width).to(tl.int64) * column
    return along
