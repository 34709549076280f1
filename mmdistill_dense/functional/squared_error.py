"""Squared differences of two maps, averaged over channels."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mmdistill_dense import kernels

from .gradient import (
    needs_gradient,
    once_differentiable,
    pieces,
    scale_gradient,
    working_dtype,
)


def squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean over channels of :math:`(S - T)^2` at each position.

    The difference is all that is kept for the backward pass, in the
    student's dtype; the gradient is it times ``2 / C`` times what comes
    back. It may be asked for once, not differentiated again. Computed in
    float32 for half precision maps, whatever autocast says.

    Args:
        student: Map of shape (N, C, H, W).
        teacher: Map of the same shape; no gradient reaches it.

    Returns:
        Errors of shape (N, H, W).
    """
    errors: Tensor = _SquaredError.apply(  # type: ignore[no-untyped-call]
        student, teacher.detach(), needs_gradient(student)
    )
    return errors


class _SquaredError(Function):
    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, with_gradient: bool
    ) -> Tensor:
        difference = torch.empty_like(student) if with_gradient else None
        if kernels.usable(student, teacher):
            errors = kernels.squared_error(student, teacher, difference)
        else:
            errors = _in_pieces(student, teacher, difference)
        if difference is not None:
            ctx.save_for_backward(difference)
        return errors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (difference,) = ctx.saved_tensors
        factor = grad_output[:, None] * (2 / difference.shape[1])
        return scale_gradient(difference, factor), None, None


def _in_pieces(
    student: Tensor, teacher: Tensor, difference: Tensor | None
) -> Tensor:
    """Errors (N, H, W); the difference is written where it is asked for."""
    dtype = working_dtype(student, teacher)
    count, channels, *grid = student.shape
    errors = student.new_zeros(count, *grid, dtype=dtype)
    for index in pieces(student):
        part = student[index].to(dtype) - teacher[index].to(dtype)
        if difference is not None:
            difference[index] = part
        errors[index[0]] += part.square_().sum(1)
    return errors.div_(channels)
