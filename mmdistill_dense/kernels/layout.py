"""How maps lie in memory, as kernels are told."""

from typing import NamedTuple

from torch import Tensor


class Steps(NamedTuple):
    """Elements from a cell to the next image, channel, row and column."""

    image: int
    channel: int
    row: int
    column: int


class Layout(NamedTuple):
    """Maps of one shape (N, C, H, W), read as (N, C, positions)."""

    steps: tuple[Steps, ...]
    #: Positions between two jumps of a row: W, or H W where no map jumps.
    width: int

    @property
    def positions_first(self) -> bool:
        """Whether neighbouring positions are neighbours in every map."""
        return all(x.column == 1 for x in self.steps)

    @property
    def channels_first(self) -> bool:
        """Whether neighbouring channels are neighbours in every map."""
        return all(x.channel == 1 for x in self.steps)


def layout(*maps: Tensor) -> Layout:
    """The layout of maps of one shape (N, C, H, W), of any strides.

    A step along a dimension of size 1 is never taken and counts as any that
    suits.
    """
    _, channels, height, width = maps[0].shape
    steps = [Steps(*x.stride()) for x in maps]
    if channels == 1:
        steps = [x._replace(channel=0) for x in steps]
    if width == 1:
        # A column of positions is a row of them.
        height, width = 1, height
        steps = [x._replace(column=x.row) for x in steps]
    if height * width == 1:
        steps = [x._replace(column=1) for x in steps]
    flat = height == 1 or all(x.row == width * x.column for x in steps)
    if flat:
        height, width = 1, height * width
        steps = [x._replace(row=0) for x in steps]
    return Layout(tuple(steps), width)
