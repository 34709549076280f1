"""Sums over pieces of two maps, whose gradient the forward pass computes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .gradient import (
    needs_gradient,
    once_differentiable,
    pieces,
    scale_gradient,
    working_dtype,
)

#: Returns the sum over a piece of the student's and the teacher's map, and
#: its gradient for the student's piece.
PieceSum = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def sum_over_pieces(
    function: PieceSum, student: Tensor, teacher: Tensor, dim: int
) -> Tensor:
    """Sum of a function over pieces of two maps.

    The gradient is computed in the same pass and saved; beside it there is
    never more than a piece in memory. Computed in float32, or in float64 if a
    map is. No gradient reaches the teacher; a second derivative raises an
    error.

    Args:
        function: Its value for the whole is the sum of those of the pieces.
        student: Map of shape (N, C, H, W), or a view of one with more
            dimensions.
        teacher: Map of the same shape.
        dim: It and dimension 0 may be cut, the others are whole in each
            piece.

    Returns:
        A scalar.
    """
    total: Tensor = _Sum.apply(  # type: ignore[no-untyped-call]
        student, teacher.detach(), function, dim, needs_gradient(student)
    )
    return total


class _Sum(Function):
    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        function: PieceSum,
        dim: int,
        with_gradient: bool,
    ) -> Tensor:
        dtype = working_dtype(student, teacher)
        ctx.dim = dim
        gradient = torch.empty_like(student) if with_gradient else None
        sums = []
        for index in pieces(student, dim):
            value, slopes = function(
                student[index].to(dtype), teacher[index].to(dtype)
            )
            sums.append(value)
            if gradient is not None:
                gradient[index] = slopes
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return torch.stack(sums).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return scale_gradient(gradient, grad_output, ctx.dim), *[None] * 4
