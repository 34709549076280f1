"""How maps lie in memory, as kernels are told."""

from typing import NamedTuple

from torch import Tensor


class Strides(NamedTuple):
    """Elements from a cell to the next image, channel, row and column."""

    image: int
    channel: int
    row: int
    column: int


class MapStrides(NamedTuple):
    """Maps of one shape (N, C, H, W), read as (N, C, positions)."""

    strides: tuple[Strides, ...]
    #: Positions between two jumps of a row: W, or H W where no map jumps.
    width: int

    @property
    def positions_first(self) -> bool:
        """Whether neighbouring positions are neighbours in every map."""
        return all(x.column == 1 for x in self.strides)

    @property
    def channels_first(self) -> bool:
        """Whether neighbouring channels are neighbours in every map."""
        return all(x.channel == 1 for x in self.strides)


def map_strides(*maps: Tensor) -> MapStrides:
    """The layout of maps of one shape (N, C, H, W), of any strides.

    A step along a dimension of size 1 is never taken and counts as any that
    suits.
    """
    _, channels, height, width = maps[0].shape
    strides = [Strides(*x.stride()) for x in maps]
    if channels == 1:
        strides = [x._replace(channel=0) for x in strides]
    if width == 1:
        # A column of positions is a row of them.
        height, width = 1, height
        strides = [x._replace(column=x.row) for x in strides]
    if height * width == 1:
        strides = [x._replace(column=1) for x in strides]
    flat = height == 1 or all(x.row == width * x.column for x in strides)
    if flat:
        height, width = 1, height * width
        strides = [x._replace(row=0) for x in strides]
    return MapStrides(tuple(strides), width)
