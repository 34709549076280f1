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

    Only the difference is saved for the backward pass, in the student's
    dtype; the gradient is the difference times ``2 / C`` times the incoming
    gradient. Backward runs once, or several times with
    ``retain_graph=True``; a second derivative raises an error. Computed in
    float32 for half precision maps, also inside autocast.

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
    """Errors (N, H, W); ``difference`` is filled if given."""
    dtype = working_dtype(student, teacher)
    count, channels, *grid = student.shape
    errors = student.new_zeros(count, *grid, dtype=dtype)
    for index in pieces(student):
        part = student[index].to(dtype) - teacher[index].to(dtype)
        if difference is not None:
            difference[index] = part
        errors[index[0]] += part.square_().sum(1)
    return errors.div_(channels)
