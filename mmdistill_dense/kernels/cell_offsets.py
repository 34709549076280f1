"""Offsets of the cells of a map, for any strides."""

import triton
import triton.language as tl


@triton.jit
def cell_offsets(c, p, width, channel, row, column, FLAT: tl.constexpr):
    """Offsets of channels c and positions p in an image, 64 bit."""
    offset = c.to(tl.int64) * channel
    if FLAT:
        offset += p.to(tl.int64) * column
    else:
        offset += (p // width).to(tl.int64) * row
        offset += (p % width).to(tl.int64) * column
    return offset
