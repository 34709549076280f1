"""Masks of boxes on the grid of a map."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .gradient import working_dtype

#: Boxes that are drawn at a time, to limit the memory of (G, H, W) masks.
_BOXES = 32


def box_masks(
    boxes: Sequence[Tensor], size: tuple[int, int], like: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Foreground and background masks, each box with a sum of 1.

    A box covers the cells :math:`X_0 \dots X_1` and :math:`Y_0 \dots Y_1`
    inclusive, with :math:`X_0 = \lfloor x_1 \rfloor` and
    :math:`X_1 = \lceil x_2 \rceil`, and has the value

    .. math:: \frac{1}{(X_1 - X_0 + 1)(Y_1 - Y_0 + 1)}

    in each, also where a part of it lies outside the map. That is one cell
    more to the right and below than the box touches, as published. Where
    boxes overlap the smallest one counts. The background has the value 1 over
    the number of its cells, and is 0 everywhere if there are none.

    The device is not waited for. Memory: 32 masks of one image at a time.

    Source: Yang et al., "Focal and Global Knowledge Distillation for
    Detectors", CVPR 2022 (arXiv 2111.11837), in the form of its published
    code.

    Args:
        boxes: Boxes (G, 4) of each of N images as x1, y1, x2, y2, in cells of
            the map; G may be 0.
        size: Height and width of the map, in cells.
        like: Tensor whose device the masks have; float64 for float64.

    Returns:
        Foreground (N, H, W) and background (N, H, W).

    Raises:
        ValueError: If boxes are not of shape (G, 4).

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.5, 0.0, 1.5, 0.0]])
        >>> foreground, background = box_masks([boxes], (1, 4), boxes)
        >>> [round(value, 3) for value in foreground.flatten().tolist()]
        [0.333, 0.333, 0.333, 0.0]
        >>> background.flatten().tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    height, width = size
    dtype, device = working_dtype(like), like.device
    x = torch.arange(width, device=device)
    y = torch.arange(height, device=device)
    foreground = torch.zeros(
        len(boxes), height, width, dtype=dtype, device=device
    )
    for mask, found in zip(foreground, boxes, strict=True):
        if found.ndim != 2 or found.shape[1] != 4:
            raise ValueError(
                'box_masks: boxes of an image must have shape (G, 4), as x1, '
                f'y1, x2, y2, got {tuple(found.shape)}.'
            )
        first, last = found[:, :2].floor(), found[:, 2:].ceil()
        values = 1 / (last - first + 1).to(dtype).prod(1)
        columns, rows = (
            (cells >= first[:, k, None]) & (cells <= last[:, k, None])
            for k, cells in enumerate((x, y))
        )
        for start in range(0, len(found), _BOXES):
            some = slice(start, start + _BOXES)
            inside = rows[some, :, None] & columns[some, None]  # -> G,H,W
            drawn = torch.where(inside, values[some, None, None], 0)
            torch.maximum(mask, drawn.amax(0), out=mask)
    empty = foreground == 0
    count = empty.sum((1, 2), keepdim=True).clamp_min(1)
    return foreground, empty / count.to(dtype)
