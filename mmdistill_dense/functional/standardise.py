"""Maps of mean 0 and variance 1."""

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
