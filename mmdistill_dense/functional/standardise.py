"""Maps of mean 0 and variance 1, or with those of another map."""

import torch
from torch import Tensor

from .precision import full_precision

#: Dimensions of (N, C, H, W) over which statistics are computed.
NORM_DIMS = dict(batch=(0, 2, 3), image=(2, 3), position=(1,))


def standardise(
    feature: Tensor, over: str = 'batch', eps: float = 1e-5
) -> Tensor:
    r"""Subtract the mean and divide by the standard deviation.

    :math:`(x - \mu) / \sqrt{\sigma^2 + \epsilon}` with the biased variance,
    as a normalisation layer without weights and without running statistics.
    Computed in float32 for half precision maps, also inside autocast.

    Args:
        feature: Map of shape (N, C, H, W).
        over: ``'batch'``: statistics per channel, over N, H and W, as batch
            norm; ``'image'``: per image and channel, as instance norm;
            ``'position'``: per position, over C, as layer norm.
        eps: Added to the variance.

    Returns:
        Map of the same shape.
    """
    with full_precision(feature) as (x,):
        dims = NORM_DIMS[over]
        mean = x.mean(dims, keepdim=True)
        variance = x.var(dims, correction=0, keepdim=True)
        return (x - mean) / (variance + eps).sqrt()


def transferred_statistics(
    feature: Tensor, reference: Tensor, eps: float = 1e-6
) -> Tensor:
    r"""Give each channel the mean and deviation that a reference has.

    :math:`(x - \mu_x) / (\sigma_x + \epsilon) \cdot \sigma_r + \mu_r`, with
    statistics of each channel over N, H and W and unbiased deviations. The
    gradient runs through the statistics of the map; none reaches the
    reference. Computed in float32 for half precision maps, also inside
    autocast.

    A constant channel becomes the reference's mean. It has no direction to
    be trained in; the published formula gives it gradients of about
    :math:`\sigma_r / \epsilon`. Here it gets none.

    Source: the aligned student of Wang et al., "CrossKD: Cross-Head
    Knowledge Distillation for Object Detection", CVPR 2024 (arXiv
    2306.11369); adaptive instance normalisation (Huang and Belongie, ICCV
    2017) over the batch.

    Args:
        feature: Map (N, C, H, W).
        reference: Map of as many channels, of any other size.
        eps: Added to the deviation of the map, above 0.

    Returns:
        Map of the shape of ``feature``.
    """
    with full_precision(feature, reference.detach()) as (x, r):
        (variance, mean), (r_variance, r_mean) = _statistics(x), _statistics(r)
        # The root has no gradient at 0; constant is what is so up to rounding.
        varies = variance > (eps * (1 + mean.detach().abs())).square()
        deviation = torch.where(varies, variance, 1).sqrt()
        factor = torch.where(varies, r_variance.sqrt() / (deviation + eps), 0)
        return x * factor + (r_mean - mean * factor)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Unbiased variance and mean of each channel; a single value has 0."""
    count = x.numel() // x.shape[1]
    return torch.var_mean(
        x, NORM_DIMS['batch'], correction=min(count - 1, 1), keepdim=True
    )
