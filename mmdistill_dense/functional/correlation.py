"""PKD: distance of maps that are normalised channel by channel."""

from functools import partial

import torch
from torch import Tensor

from .checks import check_maps, check_positive
from .piecewise import sum_over_pieces


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
    float64 for float64 maps. No gradient reaches the teacher. A second
    derivative raises an error.

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
    squares = partial(_squares, eps=eps, constant_gradient=constant_gradient)
    # A channel is whole in each piece: N,C,H,W -> 1,C,N,H,W.
    s, t = (x.transpose(0, 1)[None] for x in (student, teacher))
    return sum_over_pieces(squares, s, t, 1) / (2 * student.numel())


def _squares(
    student: Tensor, teacher: Tensor, eps: float, constant_gradient: bool
) -> tuple[Tensor, Tensor]:
    dims = (2, 3, 4)
    s, deviation, constant = _normalised(student, eps, constant_gradient)
    t, _, _ = _normalised(teacher, eps, constant_gradient)
    gaps = t.sub_(s).mul_(-2)
    value = gaps.square().sum() / 4
    # Through the deviation, which a constant channel does not have.
    along = (gaps * s).sum(dims, keepdim=True) / _freedom(s)
    scale = torch.where(constant, 0, (deviation + eps) / deviation)
    gaps -= gaps.mean(dims, keepdim=True)
    slopes = gaps.sub_(s.mul_(along * scale)).div_(deviation + eps)
    if not constant_gradient:
        slopes.masked_fill_(constant, 0)
    return value, slopes


def _normalised(
    x: Tensor, eps: float, keep_constant: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised channels, their deviation, and whether it is 0.

    Constant channels, which are rounding errors divided by ``eps``, are set
    to 0 unless ``keep_constant``.
    """
    dims = (2, 3, 4)
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    variance = centred.square().sum(dims, keepdim=True) / _freedom(x)
    # A constant channel is 0 up to rounding.
    constant = variance <= (eps * (1 + mean.abs())).square()
    deviation = variance.sqrt_().masked_fill_(constant, 0)
    centred /= deviation + eps
    if not keep_constant:
        centred.masked_fill_(constant, 0)
    return centred, deviation, constant


def _freedom(x: Tensor) -> int:
    """Divisor of an unbiased variance."""
    return max(x[0, 0].numel() - 1, 1)
