"""Class scores of dense heads: sigmoids of their logits."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import logsigmoid

from .checks import check_maps
from .gradient import (
    HALF_PRECISION_SCALE,
    needs_gradient,
    once_differentiable,
    pieces,
    scale_gradient,
    working_dtype,
)
from .spatial import split_channels


def largest_scores(logits: Tensor, dim: int = 1) -> Tensor:
    """Largest sigmoid over the classes, without a gradient.

    Args:
        logits: Class logits (N, K, ...), in any precision.
        dim: Dimension of the classes.

    Returns:
        Scores (N, ...), in float32, or in float64 for float64 logits.
    """
    return logits.detach().amax(dim).to(working_dtype(logits)).sigmoid()


def focal_score_distance(
    *, student: Tensor, teacher: Tensor, weight: Tensor
) -> Tensor:
    r"""Binary cross-entropy of scores, weighted by their distance.

    With :math:`p = \mathrm{sigmoid}(S)` and :math:`q = \mathrm{sigmoid}(T)`
    of class :math:`k` of prior :math:`i`,

    .. math::
        L = \sum_{n,i} w_{ni} \sum_k |p_{nik} - q_{nik}|
            \bigl(-q_{nik} \log p_{nik} - (1 - q_{nik}) \log(1 - p_{nik})
            \bigr)

    the quality focal loss of the teacher's score, with exponent 1; the
    gradient runs through the distance too.

    Normalisation: *sum* over classes, priors and N. It is 0 where the two
    agree, though the cross-entropy is not.

    Computed in float32 inside autocast and for half precision maps, in
    float64 for float64 maps. No gradient reaches the teacher or the weights.
    The student's gradient is computed in the forward pass and saved, at the
    size of its map. Backward runs once, or several times with
    ``retain_graph=True``; a second derivative raises an error.

    Source: Wang et al., "CrossKD: Cross-Head Knowledge Distillation for
    Object Detection", CVPR 2024 (arXiv 2306.11369), eq. 5, after Li et al.,
    "Generalized Focal Loss", NeurIPS 2020 (arXiv 2006.04388).

    Args:
        student: Class logits (N, A K, H, W) of A priors a cell, the classes
            of one prior after another.
        teacher: Logits of the same shape.
        weight: Weight of each prior (N, A, H, W), between 0 and 1.

    Returns:
        A scalar.

    Raises:
        TypeError: If a map is not a floating point tensor.
        ValueError: If shapes do not fit.

    Example:
        >>> import torch
        >>> student = torch.zeros(1, 1, 1, 1)
        >>> teacher = torch.tensor(3.0).log().view(1, 1, 1, 1)
        >>> value = focal_score_distance(
        ...     student=student, teacher=teacher, weight=torch.ones(1, 1, 1, 1)
        ... )
        >>> round(value.item(), 4)  # (3/4 - 1/2) log 2
        0.1733
    """
    name = 'focal_score_distance'
    check_maps(name, student=student, teacher=teacher)
    check_priors(name, weight, like=student)
    maps = student, teacher.detach()
    s, t = (split_channels(x, weight.shape[1]) for x in maps)
    total: Tensor = _FocalDistance.apply(  # type: ignore[no-untyped-call]
        s, t, weight.detach()[:, :, None], needs_gradient(student)
    )
    return total


def check_priors(name: str, weight: Tensor, *, like: Tensor) -> None:
    """Check that weights are (N, A, H, W), with A a divisor of the channels.

    Args:
        name: Caller name, prefixed to errors.
        weight: Weight of each prior.
        like: Map (N, A K, H, W) with K channels for each prior.

    Raises:
        ValueError: If the shape does not fit.
    """
    count, channels, *grid = like.shape
    fits = weight.ndim == 4 and not channels % max(weight.shape[1], 1)
    if not fits or (len(weight), *weight.shape[2:]) != (count, *grid):
        raise ValueError(
            f'{name}: weight must have shape ({count}, A, {grid[0]}, '
            f'{grid[1]}) for maps of shape {tuple(like.shape)}, with A priors '
            f'a cell that divide their {channels} channels, got '
            f'{tuple(weight.shape)}. Usual cause: a student and a teacher of '
            'other numbers of anchors.'
        )


class _FocalDistance(Function):
    """Weighted sum over all logits (N, A, K, H, W)."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        weight: Tensor,
        with_gradient: bool,
    ) -> Tensor:
        half = student.element_size() == 2
        ctx.scale = HALF_PRECISION_SCALE if half else 1.0
        dtype = working_dtype(student, teacher)
        gradient = torch.empty_like(student) if with_gradient else None
        sums = []
        with torch.autocast(student.device.type, enabled=False):
            for index in pieces(student, 2):
                total, slope = _distance_and_slope(
                    student[index], teacher[index], weight[index[0]], dtype
                )
                sums.append(total)
                if gradient is not None:
                    gradient[index] = slope.mul_(ctx.scale)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return torch.stack(sums).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        factor = grad_output / ctx.scale
        return scale_gradient(gradient, factor, 2), *[None] * 3


def _distance_and_slope(
    student: Tensor, teacher: Tensor, weight: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Sum over logits, and its derivative by each; in place where possible."""
    s, weight = student.to(dtype), weight.to(dtype)
    q = teacher.to(dtype).sigmoid()
    entropy = (1 - q).mul_(s).sub_(logsigmoid(s))
    p = s.sigmoid()
    gap = q.neg_().add_(p)  # p - q
    total = gap.abs().mul_(entropy).mul_(weight).sum()
    slope = entropy.mul_(gap.sign()).mul_(p).mul_(1 - p)
    return total, slope.add_(gap.abs().mul_(gap)).mul_(weight)
