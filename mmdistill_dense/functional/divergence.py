"""KL divergence of softmaxes, with the gradient in the same pass."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import log_softmax

from mmdistill_dense import kernels

from .gradient import (
    HALF_PRECISION_SCALE,
    needs_gradient,
    once_differentiable,
    pieces,
    scale_gradient,
    working_dtype,
)


def softmax_divergence(
    student: Tensor, teacher: Tensor, tau: float, dim: int
) -> Tensor:
    r"""Mean over distributions of :math:`\tau^2 KL(p^T \| p^S)`.

    The gradient for the student, :math:`\tau (p^S - p^T)` over the number of
    distributions, is computed with the value, piece by piece. Only
    the gradient is saved, in the student's dtype. Backward runs once, or
    several times with ``retain_graph=True``; a second derivative raises an
    error. Computed in float32 for half precision maps, also inside autocast.

    Args:
        student: Map of shape (N, C, H, W).
        teacher: Map of the same shape; no gradient reaches it.
        tau: Temperature.
        dim: 2 for a softmax over the positions of each channel, 1 for one
            over the channels of each position.

    Returns:
        A scalar.
    """
    count = student[:, 0].numel() if dim == 1 else student.shape[:2].numel()
    return _sum_of_divergences(student, teacher, tau, dim) * (tau**2 / count)


def weighted_divergence(
    student: Tensor, teacher: Tensor, tau: float, dim: int, weight: Tensor
) -> Tensor:
    r"""Sum over distributions of :math:`w \tau^2 KL(p^T \| p^S)`.

    Value, gradient and precision as in :func:`softmax_divergence`.

    Args:
        student: Map of shape (N, ..., H, W).
        teacher: Map of the same shape; no gradient reaches it.
        tau: Temperature.
        dim: Dimension of the softmax, neither N nor a position.
        weight: Weights between 0 and 1, without a gradient, that broadcast
            to the map: (N, ..., H, W), of size 1 where the softmax runs.

    Returns:
        A scalar.
    """
    return _sum_of_divergences(student, teacher, tau, dim, weight) * tau**2


def _sum_of_divergences(
    student: Tensor,
    teacher: Tensor,
    tau: float,
    dim: int,
    weight: Tensor | None = None,
) -> Tensor:
    total: Tensor = _Divergence.apply(  # type: ignore[no-untyped-call]
        student, teacher.detach(), tau, dim, weight, needs_gradient(student)
    )
    return total


class _Divergence(Function):
    """Sum of all divergences, without a factor of the temperature."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        tau: float,
        dim: int,
        weight: Tensor | None,
        with_gradient: bool,
    ) -> Tensor:
        scale = HALF_PRECISION_SCALE if student.element_size() == 2 else 1.0
        ctx.divisor = tau * scale
        plain = weight is None and dim == 2
        if plain and kernels.usable(student, teacher):
            gradient = torch.empty_like(student) if with_gradient else None
            total = kernels.channel_wise(
                student, teacher, tau, gradient, scale
            ).sum()
        else:
            with torch.autocast(student.device.type, enabled=False):
                total, gradient = _in_pieces(
                    student,
                    teacher,
                    tau,
                    dim,
                    weight,
                    scale if with_gradient else None,
                )
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        factor, dim = grad_output / ctx.divisor, gradient.ndim - 3
        return scale_gradient(gradient, factor, dim), *[None] * 5


def _in_pieces(
    student: Tensor,
    teacher: Tensor,
    tau: float,
    dim: int,
    weight: Tensor | None,
    scale: float | None,
) -> tuple[Tensor, Tensor | None]:
    """Sum of divergences, and ``scale * (p_S - p_T)`` if given a scale."""
    dtype = working_dtype(student, teacher)
    s, t = student.flatten(-2), teacher.flatten(-2)  # -> N,...,HW
    w = None if weight is None else weight.detach().flatten(-2).to(dtype)
    gradient = None if scale is None else torch.empty_like(s)
    sums = []
    last = s.ndim - 1
    cut_dim = 1 if dim == last else last  # never cut the softmax dimension
    for index in pieces(s, cut_dim):
        log_p_s = log_softmax(s[index].to(dtype) / tau, dim)
        log_p_t = log_softmax(t[index].to(dtype) / tau, dim)
        p_t = log_p_t.exp()
        values = log_p_t.sub_(log_p_s).mul_(p_t)
        if w is not None:
            values.mul_(w[index])
        sums.append(values.sum())
        if gradient is not None and scale is not None:
            slopes = log_p_s.exp_().sub_(p_t).mul_(scale)
            gradient[index] = slopes if w is None else slopes.mul_(w[index])
    if gradient is not None:
        gradient = gradient.view(student.shape)  # HW -> H,W
    return torch.stack(sums).sum(), gradient
