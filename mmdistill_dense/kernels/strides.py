"""Strides of maps, in the form that kernels take."""

from typing import NamedTuple

from torch import Tensor


class Strides(NamedTuple):
    """Elements between a cell and the next image, channel, row and column."""

    image: int
    channel: int
    row: int
    column: int


class MapStrides(NamedTuple):
    """Strides of maps of one shape (N, C, H, W), read as (N, C, positions)."""

    strides: tuple[Strides, ...]
    #: Positions of a row: W, or H W if rows follow each other in every map.
    width: int

    @property
    def positions_first(self) -> bool:
        """Whether positions are contiguous in every map."""
        return all(x.column == 1 for x in self.strides)

    @property
    def channels_first(self) -> bool:
        """Whether channels are contiguous in every map."""
        return all(x.channel == 1 for x in self.strides)


def map_strides(*maps: Tensor) -> MapStrides:
    """Strides of maps of one shape (N, C, H, W), simplified.

    The stride of a dimension of size 1 is never used, so it is set to the
    value that suits best.
    """
    _, channels, height, width = maps[0].shape
    strides = [Strides(*x.stride()) for x in maps]
    if channels == 1:
        strides = [x._replace(channel=0) for x in strides]
    if width == 1:
        # A single column is read as a row.
        height, width = 1, height
        strides = [x._replace(column=x.row) for x in strides]
    if height * width == 1:
        strides = [x._replace(column=1) for x in strides]
    flat = height == 1 or all(x.row == width * x.column for x in strides)
    if flat:
        height, width = 1, height * width
        strides = [x._replace(row=0) for x in strides]
    return MapStrides(tuple(strides), width)
