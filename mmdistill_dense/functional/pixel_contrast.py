"""Pixel-wise contrast of two maps against a queue (PCD)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.linalg import vector_norm
from torch.nn.functional import normalize

from mmdistill_dense import kernels

from .checks import (
    check_int,
    check_maps,
    check_positive,
    check_queue,
    check_valid,
)
from .gradient import once_differentiable, scale_gradient
from .precision import full_precision

#: Bytes of logits in memory at a time.
_LOGITS_BYTES = 2**26
#: Lower limit of the norm by which a vector is divided, as in ``normalize``.
_EPS = 1e-12


def pixel_contrast(
    *,
    student: Tensor,
    teacher: Tensor,
    queue: Tensor,
    tau: float = 0.2,
    valid: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    r"""InfoNCE of each cell: the teacher's cell against a queue of negatives.

    With unit vectors :math:`s_i = S_i / |S_i|` and :math:`t_i = T_i / |T_i|`
    over the channels at cell :math:`i` (image, row, column), and the
    columns :math:`q_k` of the queue,

    .. math::
        L = -\frac{1}{M} \sum_i \log
            \frac{\exp(s_i \cdot t_i / \tau)}
                 {\exp(s_i \cdot t_i / \tau)
                  + \sum_k \exp(s_i \cdot q_k / \tau)}

    Normalisation: mean over the M cells of all images (N H W, or those that
    ``valid`` selects), no factor of :math:`\tau`. It is the cross-entropy of
    the logits (positive, negatives) / :math:`\tau` for the class 0.

    The logits are never in memory at once: they are computed in chunks of
    rows, which are turned into their part of the gradient and freed. The
    gradient is computed with the value. Backward runs once, or several times
    with ``retain_graph=True``; a second derivative raises an error.

    Computed in float32 inside autocast and for half precision maps, in
    float64 for a float64 student. No gradient reaches the teacher or the
    queue; neither is changed. Norms are clamped to at least 1e-12, as in
    ``torch.nn.functional.normalize``.

    Source: Huang and Guo, "Pixel-Wise Contrastive Distillation", ICCV 2023
    (arXiv 2211.00218); the form is that of the authors' code.

    Args:
        student: Map of shape (N, C, H, W), not normalised.
        teacher: Map of the same shape, likewise.
        queue: Negatives of shape (C, K), columns of unit L2 norm.
        tau: Temperature, above 0.
        valid: Cells that count, bool of shape (N, H, W); ``None``: all.
        chunk: Cells whose logits are in memory at a time; ``None``: as many
            as fit into 64 MiB. The GPU kernel stores no logits.

    Returns:
        A scalar above 0; without valid cells 0, with a gradient of zeros.

    Raises:
        TypeError: If a map or the queue is not floating point, or ``valid``
            not bool.
        ValueError: If shapes do not fit, columns of the queue are not of
            unit L2 norm, or ``tau`` or ``chunk`` is not positive.

    Example:
        >>> import torch
        >>> student = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
        >>> teacher = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1)
        >>> queue = torch.tensor([[0.0], [1.0]])
        >>> value = pixel_contrast(
        ...     student=student, teacher=teacher, queue=queue, tau=1.0
        ... )
        >>> round(value.item(), 4)  # log(1 + exp(0.8 - 0.6))
        0.7981
    """
    value, _ = pixel_contrast_statistics(
        student=student,
        teacher=teacher,
        queue=queue,
        tau=tau,
        valid=valid,
        chunk=chunk,
    )
    return value


def pixel_contrast_statistics(
    *,
    student: Tensor,
    teacher: Tensor,
    queue: Tensor,
    tau: float = 0.2,
    valid: Tensor | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Value of :func:`pixel_contrast`, and statistics of its logits.

    Both come from one pass. Arguments, errors and source are those of
    :func:`pixel_contrast`.

    Returns:
        The loss, and scalars without gradient, means over the valid cells
        and 0 without any: ``positive``, the cosine with the
        teacher's cell; ``hardest``, the largest cosine with a column of the
        queue; ``top1``, the fraction of cells whose positive is above
        every negative.
    """
    name = 'pixel_contrast'
    check_maps(name, student=student, teacher=teacher)
    check_positive(name, tau=tau)
    check_queue(name, queue, like=student)
    check_valid(name, valid, like=student)
    if chunk is not None:
        check_int(f'{name}: chunk', chunk, 1)
    maps = student, teacher.detach(), queue.detach()
    with full_precision(*maps) as (s, t, q):
        rows, targets = _cells(s, valid), _cells(t.to(s), valid)
        losses, positive, hardest, gradient = _contrast(
            rows, targets, q.to(s), tau, chunk
        )
        statistics = dict(
            positive=_mean(positive),
            hardest=_mean(hardest),
            top1=_mean((positive > hardest).to(s.dtype)),
        )
        value = _MeanWithGradient.apply(  # type: ignore[no-untyped-call]
            rows, _mean(losses), gradient
        )
        return value, statistics


def _cells(maps: Tensor, valid: Tensor | None) -> Tensor:
    """N,C,H,W -> M,C: one row per valid cell."""
    rows = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
    return rows if valid is None else rows[valid.flatten()]


def _mean(values: Tensor) -> Tensor:
    """Mean, 0 without values."""
    return values.sum() / max(1, len(values))


@torch.no_grad()
def _contrast(
    rows: Tensor,
    targets: Tensor,
    queue: Tensor,
    tau: float,
    chunk: int | None,
) -> tuple[Tensor, ...]:
    """Results of :func:`_contrast_rows` for all rows."""
    with_gradient = rows.requires_grad
    if kernels.usable(rows, targets, queue) and kernels.fits(rows, queue):
        return kernels.pixel_contrast(rows, targets, queue, tau, with_gradient)
    chunk = chunk or max(
        1, _LOGITS_BYTES // (queue.shape[1] * queue.element_size())
    )
    chunk = max(1, min(chunk, len(rows)))
    logits = rows.new_empty(chunk, queue.shape[1])
    parts = (
        _contrast_rows(s, t, queue, tau, logits[: len(s)], with_gradient)
        for s, t in zip(
            torch.split(rows, chunk), torch.split(targets, chunk), strict=True
        )
    )
    return tuple(map(torch.cat, zip(*parts, strict=True)))


def _contrast_rows(
    rows: Tensor,
    targets: Tensor,
    queue: Tensor,
    tau: float,
    logits: Tensor,
    with_gradient: bool,
) -> tuple[Tensor, ...]:
    """Contrast m rows, with a buffer for their logits (m, K).

    Returns:
        Losses, cosines with the target and with the hardest negative, each
        (m,), and the gradient (m, C) of the losses' sum, empty without
        ``with_gradient``.
    """
    norms = vector_norm(rows, dim=1, keepdim=True)
    clamped_norms = norms.clamp_min(_EPS)
    unit, target = rows / clamped_norms, normalize(targets, eps=_EPS)
    torch.mm(unit / tau, queue, out=logits)
    positive_logit = (unit * target).sum(1) / tau
    hardest_logit = logits.amax(1)
    top = torch.maximum(positive_logit, hardest_logit)
    # In place: logits are overwritten.
    weights = logits.sub_(top[:, None]).exp_()
    negatives_sum = weights.sum(1)
    denominator = negatives_sum + (positive_logit - top).exp()
    losses = denominator.log() + (top - positive_logit)
    gradient = rows[:0]
    if with_gradient:
        # Gradient for `unit`: sum_k p_k (q_k - t) / tau. Gradient for `rows`:
        # subtract the component along `unit`, divide by the norm.
        gradient = weights @ queue.T - negatives_sum[:, None] * target
        gradient /= tau * denominator[:, None]
        radial = (gradient * unit).sum(1, keepdim=True) * (norms >= _EPS)
        gradient = (gradient - radial * unit) / clamped_norms
    return losses, positive_logit * tau, hardest_logit * tau, gradient


class _MeanWithGradient(Function):
    """A mean over rows, with a gradient computed beforehand."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, value: Tensor, gradient: Tensor
    ) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        factor = grad_output / max(1, len(gradient))
        return scale_gradient(gradient, factor), None, None
