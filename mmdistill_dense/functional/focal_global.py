"""FGD: distances of maps inside and outside of boxes, and as a whole."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from .checks import check_maps, check_positive
from .gradient import once_differentiable, pieces, working_dtype
from .precision import full_precision


class FocalGlobalDistances(NamedTuple):
    """The four distances of FGD, scalars without weights."""

    #: Inside of boxes.
    foreground: Tensor
    #: Outside of boxes.
    background: Tensor
    #: Of the attention of both maps.
    attention: Tensor
    #: Of the maps with what their contexts add.
    context: Tensor


def activation_attention(
    feature: Tensor, tau: float = 0.5
) -> tuple[Tensor, Tensor]:
    r"""Where, and in which channels, the values of a map are large.

    .. math::
        A^s_{ni} = H W \, \mathrm{softmax}_i
            \Bigl(\frac{1}{\tau C} \sum_c |X_{nci}|\Bigr), \qquad
        A^c_{nc} = C \, \mathrm{softmax}_c
            \Bigl(\frac{1}{\tau H W} \sum_i |X_{nci}|\Bigr)

    Normalisation: the mean of each is 1. Computed in float32 inside autocast
    and for half precision maps.

    Source: as :func:`focal_global_distances`.

    Args:
        feature: Map of shape (N, C, H, W).
        tau: Temperature, above 0.

    Returns:
        Attention of positions (N, H, W) and of channels (N, C).

    Raises:
        ValueError: If ``tau`` is not positive.

    Example:
        >>> import torch
        >>> feature = torch.tensor([0.0, -1.0]).view(1, 2, 1, 1)
        >>> positions, channels = activation_attention(feature, tau=1.0)
        >>> [round(value, 4) for value in channels[0].tolist()]
        [0.5379, 1.4621]
    """
    check_positive('activation_attention', tau=tau)
    with torch.autocast(feature.device.type, enabled=False):
        return _attention(_magnitudes(feature), tau)


def focal_global_distances(
    *,
    student: Tensor,
    teacher: Tensor,
    foreground: Tensor,
    background: Tensor,
    shift: Tensor | None = None,
    tau: float = 0.5,
) -> FocalGlobalDistances:
    r"""The distances whose weighted sum is FGD.

    With masks :math:`m` of the boxes or of the background, the attention
    :math:`A` of :func:`activation_attention` and a shift :math:`d`,

    .. math::
        L_{fg}, L_{bg} &= \frac{1}{N} \sum_{n,c,i}
            m_{ni} A^s_{T,ni} A^c_{T,nc} (S_{nci} - T_{nci})^2 \\
        L_{at} &= \frac{1}{N} \sum_{n,i} |A^s_{S,ni} - A^s_{T,ni}|
            + \frac{1}{N} \sum_{n,c} |A^c_{S,nc} - A^c_{T,nc}| \\
        L_{gl} &= \frac{1}{N} \sum_{n,c,i} (S_{nci} + d_{nc} - T_{nci})^2

    Normalisation: *sums* over C, H and W, mean over N; published weights are
    between 1e-3 and 1e-7.

    No (N, C, H, W) tensor is made but the gradient; the maps themselves are
    saved. Computed in float32 inside autocast and for half precision maps, in
    float64 for float64 maps. No gradient reaches the teacher or the masks.
    A second derivative raises an error.

    Source: Yang et al., "Focal and Global Knowledge Distillation for
    Detectors", CVPR 2022 (arXiv 2111.11837), in the form of its published
    code.

    Args:
        student: Map of shape (N, C, H, W).
        teacher: Map of the same shape.
        foreground: Mask of the boxes (N, H, W), see :func:`box_masks`.
        background: Mask of the rest (N, H, W).
        shift: What the student's context adds to all positions minus what
            the teacher's adds, (N, C); ``None``: 0. It gets a gradient.
        tau: Temperature of the attention, above 0.

    Raises:
        TypeError: If a map is not a floating point tensor.
        ValueError: If shapes do not fit, or ``tau`` is not positive.

    Example:
        >>> import torch
        >>> maps = dict(student=torch.ones(1, 3, 2, 2))
        >>> maps['teacher'] = torch.zeros(1, 3, 2, 2)
        >>> box = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
        >>> masks = dict(foreground=box, background=(1 - box) / 3)
        >>> found = focal_global_distances(**maps, **masks)
        >>> [round(value.item(), 4) for value in found]
        [3.0, 3.0, 0.0, 12.0]
    """
    name = 'focal_global_distances'
    check_maps(name, student=student, teacher=teacher)
    check_positive(name, tau=tau)
    _check_shapes(student, foreground, background, shift)
    teacher, count = teacher.detach(), len(student)
    with full_precision(foreground, background) as (inside, outside):
        wanted = _attention(_magnitudes(teacher), tau)
        errors, squares, sums, *magnitudes = _Statistics.apply(  # type: ignore[no-untyped-call]
            student, teacher, wanted[1]
        )
        errors = errors * wanted[0]
        found = _attention(magnitudes, tau)
        whole = squares.sum()
        if shift is not None:
            cells = errors[0].numel()
            whole = whole + (shift * (2 * sums + cells * shift)).sum()
        return FocalGlobalDistances(
            (inside * errors).sum() / count,
            (outside * errors).sum() / count,
            _gap(found, wanted) / count,
            whole / count,
        )


def _check_shapes(
    like: Tensor, foreground: Tensor, background: Tensor, shift: Tensor | None
) -> None:
    count, channels, *grid = like.shape
    for key, value, shape in (
        ('foreground', foreground, (count, *grid)),
        ('background', background, (count, *grid)),
        ('shift', shift, (count, channels)),
    ):
        if value is not None and value.shape != shape:
            raise ValueError(
                f'focal_global_distances: {key} must have shape {shape} for '
                f'maps of shape {tuple(like.shape)}, got '
                f'{tuple(value.shape)}.'
            )


def _gap(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    gaps = [(a - b).abs().sum() for a, b in zip(found, wanted, strict=True)]
    return torch.stack(gaps).sum()


def _magnitudes(feature: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of absolute values over channels, and over positions."""
    count, channels, *grid = feature.shape
    positions = feature.new_zeros(count, *grid, dtype=working_dtype(feature))
    totals = positions.new_zeros(count, channels)
    for index in pieces(feature):
        part = feature[index].to(positions.dtype).abs()
        positions[index[0]] += part.sum(1)
        totals[index] = part.sum((2, 3))
    return positions / channels, totals / (grid[0] * grid[1])


def _attention(
    magnitudes: Sequence[Tensor], tau: float
) -> tuple[Tensor, Tensor]:
    positions, channels = (
        x[0].numel() * (x.flatten(1) / tau).softmax(1).view_as(x)
        for x in magnitudes
    )
    return positions, channels


class _Statistics(Function):
    """What the distances need of both maps.

    With D = S - T: the sum over channels of D squared, weighted (N, H, W);
    the sum of D squared (N,); the sum of D over positions (N, C); and the
    student's :func:`_magnitudes`.
    """

    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, weights: Tensor
    ) -> tuple[Tensor, ...]:
        count, channels, *grid = student.shape
        dtype = working_dtype(student, teacher)
        errors = student.new_zeros(count, *grid, dtype=dtype)
        squares = student.new_zeros(count, dtype=dtype)
        sums = student.new_zeros(count, channels, dtype=dtype)
        for index in pieces(student):
            part = student[index].to(dtype) - teacher[index].to(dtype)
            sums[index] = part.sum((2, 3))
            part.square_()
            squares[index[0]] += part.sum((1, 2, 3))
            part *= weights[index][..., None, None]
            errors[index[0]] += part.sum(1)
        ctx.save_for_backward(student, teacher, weights)
        return errors, squares, sums, *_magnitudes(student)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        errors: Tensor,
        squares: Tensor,
        sums: Tensor,
        positions: Tensor,
        channels: Tensor,
    ) -> tuple[Tensor | None, ...]:
        student, teacher, weights = ctx.saved_tensors
        gradient = torch.empty_like(student)
        positions = positions / student.shape[1]
        channels = channels / positions[0].numel()
        for index in pieces(student):
            n, cells = index[0], (..., None, None)
            s = student[index].to(errors.dtype)
            part = s - teacher[index].to(errors.dtype)
            factor = weights[index][cells] * errors[n, None]
            part *= 2 * (factor + squares[n, None, None, None])
            part += sums[index][cells]
            part += s.sign() * (positions[n, None] + channels[index][cells])
            gradient[index] = part
        return gradient, None, None
