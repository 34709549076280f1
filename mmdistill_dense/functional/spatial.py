"""Helpers on the grid of a feature map."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize_to(feature: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize a map bilinearly; a map of that size is returned as it is.

    Corners are not aligned and there is no anti-aliasing, as in OpenMMLab's
    resizing of logits.

    Args:
        feature: Map of shape (N, C, H, W).
        size: Height and width of the result, in cells.

    Returns:
        Map of shape (N, C, \\*size); ``feature`` itself if it has that size.

    Example:
        >>> import torch
        >>> resize_to(torch.zeros(1, 2, 4, 6), (8, 12)).shape
        torch.Size([1, 2, 8, 12])
    """
    if feature.shape[-2:] == tuple(size):
        return feature
    return F.interpolate(
        feature, size=size, mode='bilinear', align_corners=False
    )


def resample_to(
    feature: Tensor, size: tuple[int, ...], step: tuple[float, float]
) -> Tensor:
    """Values of a map on another grid that begins at the same corner.

    Where both grids cover the same pixels this is :func:`resize_to`. Cells
    beyond the last one of ``feature`` get its value.

    Args:
        feature: Map of shape (N, C, H, W).
        size: Height and width of the other grid, in its cells.
        step: Height and width of its cells, in cells of ``feature``.

    Returns:
        Map of shape (N, C, \\*size), bilinear between the centres of cells.

    Example:
        >>> import torch
        >>> ramp = torch.arange(8.0).view(1, 1, 1, 8)
        >>> resample_to(ramp, (1, 3), (1, 2)).flatten()
        tensor([0.5000, 2.5000, 4.5000])
    """
    sides = feature.shape[-2:]
    covered = [n * s for n, s in zip(size, step, strict=True)]
    if all(abs(a - b) < 1e-3 for a, b in zip(covered, sides, strict=True)):
        return resize_to(feature, size)
    rows, columns = (
        # Centres of cells from -1 to 1, the outer edges of ``feature``.
        (torch.arange(n, device=feature.device) + 0.5) * (2 * s / side) - 1
        for n, s, side in zip(size, step, sides, strict=True)
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing='xy'), dim=-1)
    sampled = F.grid_sample(
        feature.float(),
        grid.expand(len(feature), -1, -1, -1),
        padding_mode='border',
        align_corners=False,
    )
    return sampled.to(feature.dtype)


def split_channels(feature: Tensor, groups: int) -> Tensor:
    """A view (N, G, C, H, W) of a map (N, G C, H, W).

    Args:
        feature: The map.
        groups: Number G of groups.
    """
    return feature.view(len(feature), groups, -1, *feature.shape[2:])
