"""Helpers on the grid of a feature map."""

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
