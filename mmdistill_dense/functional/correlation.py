"""PKD: distance of maps that are normalised channel by channel."""

import torch
from torch import Tensor

from .checks import check_maps, check_positive
from .precision import full_precision


def correlation_distance(
    *,
    student: Tensor,
    teacher: Tensor,
    eps: float = 1e-6,
    constant_gradient: bool = False,
) -> Tensor:
    r"""Half the squared distance of maps of mean 0 and deviation 1.

    With :math:`\hat X = (X - \mu_c) / (\sigma_c + \epsilon)`, of the
    :math:`M = N H W` values of each channel, :math:`\sigma` unbiased,

    .. math::
        L = \frac{1}{2 C M} \sum_{c,m} (\hat S_{cm} - \hat T_{cm})^2
          = \frac{M - 1}{M} \Bigl(1 - \frac{1}{C} \sum_c r_c\Bigr)

    up to :math:`\epsilon`, with Pearson's correlation :math:`r_c`.

    Normalisation: mean over *all* elements, halved. Statistics run over the
    whole batch of a process, so the value of an image depends on the others.

    A constant channel of the student has no direction to be trained in; the
    published formula gives it gradients of about :math:`1 / \epsilon`. Here
    it gets none, and the value is the same.

    Computed in float32 inside autocast and for half precision maps, in
    float64 for float64 maps. No gradient reaches the teacher.

    Source: Cao et al., "PKD: General Distillation Framework for Object
    Detectors via Pearson Correlation Coefficient", NeurIPS 2022 (arXiv
    2207.02039), in the form of its published code.

    Args:
        student: Map of shape (N, C, H, W) with more than one value per
            channel.
        teacher: Map of the same shape.
        eps: Added to the standard deviations, above 0.
        constant_gradient: Whether constant channels get the gradient of the
            published formula.

    Returns:
        A scalar, zero if the two are equal up to scale and shift per channel.

    Raises:
        TypeError: If a map is not a floating point tensor.
        ValueError: If the shapes differ or are not 4-D, or ``eps`` is not
            positive.

    Example:
        >>> import torch
        >>> student = torch.arange(4.0).view(1, 1, 2, 2)
        >>> value = correlation_distance(student=student, teacher=-student)
        >>> round(value.item(), 4)  # 3/4 (1 - r), r = -1
        1.5
    """
    name = 'correlation_distance'
    check_maps(name, student=student, teacher=teacher)
    check_positive(name, eps=eps)
    with full_precision(student, teacher.detach()) as (s, t):
        difference = _normalised(s, eps, constant_gradient) - _normalised(
            t, eps, constant_gradient
        )
        return difference.square().mean() / 2


def _normalised(x: Tensor, eps: float, constant_gradient: bool) -> Tensor:
    dims = (0, 2, 3)
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    count = max(x.numel() // x.shape[1] - 1, 1)
    variance = centred.square().sum(dims, keepdim=True) / count
    # The root has no gradient at 0; a constant channel is 0 up to rounding.
    varies = variance > (eps * (1 + mean.detach().abs())).square()
    deviation = torch.where(varies, variance, torch.ones_like(variance)).sqrt()
    if constant_gradient:
        deviation = torch.where(varies, deviation, 0)
        return centred / (deviation + eps)
    return torch.where(varies, centred / (deviation + eps), 0)
