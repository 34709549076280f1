"""Overlap of boxes that dense heads with anchors predict."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .checks import check_maps
from .precision import full_precision
from .spatial import split_channels

#: Largest change of a width or height, as a logarithm (of MMDetection).
_LARGEST = math.log(1000 / 16)


def decode_boxes(
    deltas: Tensor,
    priors: Tensor,
    means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
) -> Tensor:
    """Boxes of encoded differences to priors, as R-CNN encodes them.

    Args:
        deltas: Differences (N, A, 4, H, W): of centre x and y, over width
            and height of the prior, and of the logarithms of both.
        priors: The priors (N, A, 4, H, W) as x1, y1, x2, y2, in pixels.
        means: Means of the differences before they were encoded.
        stds: Their standard deviations.

    Returns:
        Boxes (N, A, 4, H, W) as x1, y1, x2, y2, in pixels.
    """
    x, y, w, h = (
        d * std + mean
        for d, std, mean in zip(deltas.unbind(2), stds, means, strict=True)
    )
    x1, y1, x2, y2 = priors.unbind(2)
    width, height = x2 - x1, y2 - y1
    x, y = (x1 + x2) / 2 + x * width, (y1 + y2) / 2 + y * height
    w, h = (
        size * d.clamp(-_LARGEST, _LARGEST).exp() / 2
        for size, d in ((width, w), (height, h))
    )
    return torch.stack([x - w, y - h, x + w, y + h], 2)


def overlap_distance(
    *,
    student: Tensor,
    teacher: Tensor,
    priors: Tensor,
    weight: Tensor,
    means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
) -> Tensor:
    r"""Weighted sum of 1 minus the generalised IoU of decoded boxes.

    With the boxes :math:`a` of the student and :math:`b` of the teacher, and
    the smallest box :math:`c` around both,

    .. math::
        L = \sum_{n,i} w_{ni} \Bigl(1 - \frac{|a \cap b|}{|a \cup b|}
            + \frac{|c| - |a \cup b|}{|c|}\Bigr)

    Normalisation: *sum* over priors and N.

    Computed in float32 inside autocast and for half precision maps, in
    float64 for float64 maps. No gradient reaches the teacher.

    Source: Rezatofighi et al., "Generalized Intersection over Union", CVPR
    2019 (arXiv 1902.09630); between the boxes of two heads after Wang et
    al., "CrossKD", CVPR 2024 (arXiv 2306.11369).

    Args:
        student: Encoded differences (N, 4 A, H, W) of A priors a cell, the
            four of one prior after another.
        teacher: Differences of the same shape.
        priors: The priors (N, A, 4, H, W) as x1, y1, x2, y2, in pixels.
        weight: Weight of each prior (N, A, H, W).
        means: Means of the coding, see :func:`decode_boxes`.
        stds: Standard deviations of the coding.

    Returns:
        A scalar, zero if the two agree.

    Raises:
        TypeError: If a map is not a floating point tensor.
        ValueError: If shapes do not fit.

    Example:
        >>> import torch
        >>> prior = torch.tensor([0.0, 0, 2, 2]).view(1, 1, 4, 1, 1)
        >>> student = torch.tensor([0.5, 0, 0, 0]).view(1, 4, 1, 1)
        >>> value = overlap_distance(
        ...     student=student,
        ...     teacher=torch.zeros(1, 4, 1, 1),
        ...     priors=prior,
        ...     weight=torch.ones(1, 1, 1, 1),
        ... )
        >>> round(value.item(), 4)  # 1 - 2/6
        0.6667
    """
    name = 'overlap_distance'
    check_maps(name, student=student, teacher=teacher)
    _check_priors(name, student, priors, weight)
    with full_precision(student, teacher.detach()) as maps:
        a, b = (
            decode_boxes(
                split_channels(x, priors.shape[1]), priors, means, stds
            )
            for x in maps
        )
        return (weight * _overlap_distance(a, b)).sum()


def _check_priors(
    name: str, like: Tensor, priors: Tensor, weight: Tensor
) -> None:
    count, channels, *grid = like.shape
    shapes = (count, channels // 4, 4, *grid), (count, channels // 4, *grid)
    if channels % 4 or (priors.shape, weight.shape) != shapes:
        raise ValueError(
            f'{name}: maps of shape {tuple(like.shape)} need priors '
            f'{shapes[0]} and weights {shapes[1]}, got '
            f'{tuple(priors.shape)} and {tuple(weight.shape)}. Usual cause: a '
            'head that regresses other than four numbers for each prior.'
        )


def _overlap_distance(a: Tensor, b: Tensor, eps: float = 1e-6) -> Tensor:
    """1 - GIoU of boxes (N, A, 4, H, W); divisors are at least ``eps``.

    In differences of areas, which stay exact where the boxes nearly agree.
    """
    (low_a, high_a), (low_b, high_b) = (x.chunk(2, 2) for x in (a, b))
    area_a, area_b = _area(low_a, high_a), _area(low_b, high_b)
    shared = _area(torch.maximum(low_a, low_b), torch.minimum(high_a, high_b))
    around = _area(torch.minimum(low_a, low_b), torch.maximum(high_a, high_b))
    only_b = area_b - shared
    union = (area_a + only_b).clamp(min=eps)
    apart = (area_a - shared + only_b) / union
    return apart + (around - area_a - only_b) / around.clamp(min=eps)


def _area(low: Tensor, high: Tensor) -> Tensor:
    width, height = (high - low).clamp(min=0).unbind(2)
    return width * height
