"""KL divergence of softmaxes, with the gradient in the same pass."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import log_softmax

from mmdistill_dense import kernels

from .gradient import (
    needs_gradient,
    once_differentiable,
    pieces,
    scale_gradient,
    working_dtype,
)

#: Factor by which a half-precision gradient is multiplied before it is saved,
#: so that values around 1e-5 keep their digits in float16. A power of two, so
#: that scaling is exact.
_HALF_PRECISION_SCALE = 2.0**15


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
    total: Tensor = _Divergence.apply(  # type: ignore[no-untyped-call]
        student, teacher.detach(), tau, dim, needs_gradient(student)
    )
    return total * (tau**2 / count)


class _Divergence(Function):
    """Sum of all divergences, without a factor of the temperature."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        tau: float,
        dim: int,
        with_gradient: bool,
    ) -> Tensor:
        scale = _HALF_PRECISION_SCALE if student.element_size() == 2 else 1.0
        ctx.divisor = tau * scale
        if dim == 2 and kernels.usable(student, teacher):
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
                    scale if with_gradient else None,
                )
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return scale_gradient(gradient, grad_output / ctx.divisor), *[None] * 4


def _in_pieces(
    student: Tensor,
    teacher: Tensor,
    tau: float,
    dim: int,
    scale: float | None,
) -> tuple[Tensor, Tensor | None]:
    """Sum of divergences, and ``scale * (p_S - p_T)`` if given a scale."""
    dtype = working_dtype(student, teacher)
    s, t = student.flatten(2), teacher.flatten(2)  # -> N,C,HW
    gradient = None if scale is None else torch.empty_like(s)
    sums = []
    cut_dim = 1 if dim == 2 else 2  # never cut the softmax dimension
    for index in pieces(s, cut_dim):
        log_p_s = log_softmax(s[index].to(dtype) / tau, dim)
        log_p_t = log_softmax(t[index].to(dtype) / tau, dim)
        p_t = log_p_t.exp()
        sums.append(log_p_t.sub_(log_p_s).mul_(p_t).sum())
        if gradient is not None and scale is not None:
            gradient[index] = log_p_s.exp_().sub_(p_t).mul_(scale)
    if gradient is not None:
        gradient = gradient.view(student.shape)  # HW -> H,W
    return torch.stack(sums).sum(), gradient
