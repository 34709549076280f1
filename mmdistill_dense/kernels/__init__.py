"""Triton versions of hot functions, for CUDA tensors.

Triton takes a second to import and is not installed everywhere. It is
imported by the first of these functions that is called; call them only where
:func:`usable` returns True.
"""

from torch import Tensor

from .device import allows_tf32, usable

__all__ = [
    'channel_wise',
    'fits',
    'pixel_contrast',
    'squared_error',
    'usable',
]


def channel_wise(
    student: Tensor,
    teacher: Tensor,
    tau: float,
    gradient: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """See :func:`mmdistill_dense.kernels.divergence.channel_wise`."""
    from .divergence import channel_wise

    return channel_wise(student, teacher, tau, gradient, scale)


def squared_error(
    student: Tensor, teacher: Tensor, difference: Tensor | None = None
) -> Tensor:
    """See :func:`mmdistill_dense.kernels.difference.squared_error`."""
    from .difference import squared_error

    return squared_error(student, teacher, difference)


def pixel_contrast(
    student_cells: Tensor,
    targets: Tensor,
    queue: Tensor,
    tau: float,
    with_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`mmdistill_dense.kernels.contrast.pixel_contrast`."""
    from .contrast import pixel_contrast

    return pixel_contrast(student_cells, targets, queue, tau, with_gradient)


def fits(student_cells: Tensor, queue: Tensor) -> bool:
    """Whether :func:`pixel_contrast` supports cells (M, C) and a queue (C, K).

    A program keeps whole rows, and their gradient, in registers. The kernel
    is used only where torch may use TF32: in full float32 cuBLAS needs as
    many operations and is as fast.
    """
    return (
        allows_tf32()
        and student_cells.ndim == queue.ndim == 2
        and student_cells.shape[1] == queue.shape[0] <= 512
        and queue.shape[1] > 0
    )
