"""Squared and angular distance of two maps."""

from functools import partial
from math import inf

from torch import Tensor

from .checks import check_maps, check_outputs, check_positive
from .piecewise import sum_over_pieces
from .precision import full_precision


def mean_squared_distance(*, student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean of :math:`(S - T)^2`, the hint loss of FitNets.

    Normalisation: mean over *all* elements; 0 without any.

    Computed in float32 inside autocast and for half precision tensors, in
    float64 for float64 ones. No gradient reaches the teacher.

    Source: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015
    (arXiv 1412.6550), eq. 3, with a mean in place of half the sum.

    Args:
        student: Map (N, C, H, W), or another output, of any shape.
        teacher: Tensor of the same shape.

    Returns:
        A scalar, zero if the two agree.

    Raises:
        TypeError: If one is not a floating point tensor.
        ValueError: If the shapes differ.

    Example:
        >>> import torch
        >>> student = torch.tensor([[1.0, 3.0]])
        >>> teacher = torch.zeros(1, 2)
        >>> mean_squared_distance(student=student, teacher=teacher).item()
        5.0
    """
    check_outputs('mean_squared_distance', student=student, teacher=teacher)
    return _sum_of_squares(student, teacher) / max(student.numel(), 1)


def summed_squared_distance(*, student: Tensor, teacher: Tensor) -> Tensor:
    r"""Sum of :math:`(S - T)^2` of each image, averaged over images.

    .. math:: L = \frac{1}{N} \sum_{n,c,i} (S_{nci} - T_{nci})^2

    Normalisation: *sum* over C, H and W, mean over N alone, so the value grows
    with the map: published weights are about 1e-5. It is C H W times
    :func:`mean_squared_distance`; 0 without any element.

    Computed in float32 inside autocast and for half precision tensors, in
    float64 for float64 ones. No gradient reaches the teacher.

    Source: Yang et al., "Masked Generative Distillation", ECCV 2022 (arXiv
    2205.01529), eq. 3 with the 1 / N of its published code; the student's map
    is then that of its masked generator.

    Args:
        student: Map (N, C, H, W), or another output of N rows.
        teacher: Tensor of the same shape.

    Returns:
        A scalar, zero if the two agree.

    Raises:
        TypeError: If one is not a floating point tensor.
        ValueError: If the shapes differ.

    Example:
        >>> import torch
        >>> student = torch.tensor([[1.0, 3.0], [0.0, 2.0]])
        >>> teacher = torch.zeros(2, 2)
        >>> summed_squared_distance(student=student, teacher=teacher).item()
        7.0
    """
    check_outputs('summed_squared_distance', student=student, teacher=teacher)
    return _sum_of_squares(student, teacher) / max(len(student), 1)


def _sum_of_squares(student: Tensor, teacher: Tensor) -> Tensor:
    """Sum of the squared differences of all elements."""
    if student.ndim == 4 and student.numel():
        return sum_over_pieces(_squares, student, teacher, 1)
    with full_precision(student, teacher.detach()) as (s, t):
        return (s - t).square().sum()


def _squares(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    difference = student - teacher
    return difference.square().sum(), difference.mul_(2)


def cosine_distance(
    *, student: Tensor, teacher: Tensor, eps: float = 1e-6
) -> Tensor:
    r"""Mean over positions of 1 minus the cosine over channels.

    .. math::
        L = \frac{1}{N H W} \sum_{n,i} \Bigl(1 - \frac{\langle S_{ni}, T_{ni}
            \rangle}{\lVert S_{ni} \rVert \lVert T_{ni} \rVert}\Bigr)

    Normalisation: mean over N and positions. A vector of length ``eps`` or
    less has no direction: its position counts 1 and gets no gradient, where
    published code divides by a small number.

    Computed in float32 inside autocast and for half precision maps, in
    float64 for float64 maps. No gradient reaches the teacher.

    Source: the feature term of RT-DETRv4 (arXiv 2510.25257), and of
    AM-RADIO (CVPR 2024) for dense maps, with its smooth L1 term left out.

    Args:
        student: Map of shape (N, C, H, W).
        teacher: Map of the same shape.
        eps: Length of the shortest vector with a direction, above 0.

    Returns:
        A scalar between 0 and 2.

    Raises:
        TypeError: If a map is not a floating point tensor.
        ValueError: If the shapes differ or are not 4-D, or ``eps`` is not
            positive.

    Example:
        >>> import torch
        >>> student = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
        >>> teacher = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
        >>> value = cosine_distance(student=student, teacher=teacher)
        >>> round(value.item(), 4)  # 1 - 3/5
        0.4
    """
    name = 'cosine_distance'
    check_maps(name, student=student, teacher=teacher)
    check_positive(name, eps=eps)
    count = student.shape[0] * student.shape[2:].numel()
    angles = partial(_angles, eps=eps)
    # Channels are whole in each piece, rows are not.
    return sum_over_pieces(angles, student, teacher, 2) / count


def _angles(
    student: Tensor, teacher: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    s, lengths = _unit(student, eps)
    t, _ = _unit(teacher, eps)
    cosines = (s * t).sum(1, keepdim=True)
    slopes = s.mul_(cosines).sub_(t).div_(lengths)
    return (1 - cosines).sum(), slopes.masked_fill_(lengths == inf, 0)


def _unit(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Vectors of length 1 over channels, and their lengths before.

    Those without direction are 0, of infinite length.
    """
    lengths = x.square().sum(1, keepdim=True).sqrt_()
    lengths.masked_fill_(lengths <= eps, inf)
    return x / lengths, lengths
