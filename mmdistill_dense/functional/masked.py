"""Masked distillation with receptive tokens (MasKD)."""

import torch
from torch import Tensor

from .checks import check_maps, check_masks, check_not_negative
from .precision import full_precision
from .squared_error import squared_error

#: Added to each squared norm of a mask, as in the official code.
_EPS = 1e-12


def receptive_masks(features: Tensor, tokens: Tensor) -> Tensor:
    r"""Masks of receptive tokens: where each token attends.

    .. math:: m_{nti} = \mathrm{sigmoid}\big(\sum_c E_{tc} F_{nci}\big)

    Without bias, scale or normalisation. Computed in float32 inside
    autocast and for half precision maps.

    Source: Huang et al., "Masked Distillation with Receptive Tokens",
    ICLR 2023 (arXiv 2205.14589); the form is that of the official code.

    Args:
        features: Map of shape (N, C, H, W).
        tokens: Tokens of shape (T, C).

    Returns:
        Probabilities of shape (N, T, H, W).

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> import torch
        >>> features = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
        >>> masks = receptive_masks(features, torch.tensor([[1.0], [-1.0]]))
        >>> [round(value, 3) for value in masks.flatten().tolist()]
        [0.5, 0.731, 0.5, 0.269]
    """
    if tokens.ndim != 2 or features.ndim != 4:
        raise ValueError(
            'receptive_masks: expected features (N, C, H, W) and tokens '
            f'(T, C), got {tuple(features.shape)} and {tuple(tokens.shape)}.'
        )
    if features.shape[1] != tokens.shape[1]:
        raise ValueError(
            f'receptive_masks: features have {features.shape[1]} channels, '
            f'tokens {tokens.shape[1]}. Tokens fit only the map that they '
            'were learned on.'
        )
    with full_precision(features, tokens) as (f, t):
        products = t @ f.flatten(2)  # T,C @ N,C,HW -> N,T,HW
        return products.view(len(f), -1, *f.shape[2:]).sigmoid()


def mask_diversity(masks: Tensor) -> Tensor:
    r"""Mean soft Dice over all pairs of masks.

    1 if all are equal, 0 if none overlap. Minimise it for diverse masks.

    .. math::
        L = \frac{1}{N T (T - 1)} \sum_n \sum_{a \ne b}
            \frac{2 \langle m_{na}, m_{nb} \rangle}
                 {|m_{na}|^2 + |m_{nb}|^2}

    Normalisation: mean over N and over the ordered pairs, sums over
    positions inside.
    Source: as :func:`receptive_masks`.

    Args:
        masks: Probabilities of shape (N, T, H, W), T at least 2.

    Returns:
        A scalar.

    Raises:
        ValueError: If there are fewer than two masks, so no pair.

    Example:
        >>> import torch
        >>> masks = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).view(1, 2, 1, 2)
        >>> round(mask_diversity(masks).item(), 4)  # 2 * 1 / (1 + 2)
        0.6667
    """
    check_masks('mask_diversity', masks)
    count = masks.shape[1]
    if count < 2:
        raise ValueError(
            f'mask_diversity: expected at least 2 masks, got '
            f'{tuple(masks.shape)}: a single mask has no pair. Use at least '
            '2 tokens.'
        )
    with full_precision(masks) as (m,):
        flat = m.flatten(2)  # N,T,H,W -> N,T,HW
        products = flat @ flat.transpose(1, 2)  # -> N,T,T
        norms = products.diagonal(dim1=1, dim2=2) + _EPS  # -> N,T
        dice = 2 * products / (norms[:, :, None] + norms[:, None])
        diagonal = torch.eye(count, dtype=torch.bool, device=m.device)
        total = dice.masked_fill(diagonal, 0).sum()
        return total / (m.shape[0] * count * (count - 1))


def masked_distance(
    *,
    student: Tensor,
    teacher: Tensor,
    masks: Tensor,
    token_weights: Tensor | None = None,
    half: bool = False,
    eps: float = 0.0,
) -> Tensor:
    r"""Squared distance of two maps, weighted by masks.

    With :math:`e_{ni} = \frac{1}{C} \sum_c (S_{nci} - T_{nci})^2`,

    .. math::
        L = \frac{1}{N} \sum_{n,t} p_{nt}
            \frac{\sum_i m_{nti}^2 e_{ni}}{\sum_i m_{nti} + \epsilon}

    Normalisation: mean over N and C; per token the sum over positions of
    the *squared* mask over the sum of the mask, so a mask of 0.5 everywhere
    gives half the plain MSE. An empty mask counts as 0; the official code
    gives NaN. Memory: (N, H, W) and (N, T, H, W) maps and the difference of
    the inputs, which is saved for the backward pass; never (N, T, C, H, W).
    Computed in float32 inside autocast and for half precision maps. No
    gradient reaches the teacher. Backward runs once, or several times with
    ``retain_graph=True``; a second derivative raises an error.
    Source: as :func:`receptive_masks`.

    Args:
        student: Map of shape (N, C, H, W).
        teacher: Map of the same shape.
        masks: Probabilities of shape (N, T, H, W).
        token_weights: :math:`p`, of shape (N, T); ``None``: 1 / T each.
        half: Whether to divide the loss by 2, as the official segmentation
            code does.
        eps: Added to the sum of each mask, not negative; 1e-5 for
            segmentation.

    Returns:
        A scalar, zero if the two agree wherever a mask is not zero.

    Raises:
        TypeError: If a map is not a floating point tensor.
        ValueError: If shapes do not fit, or ``eps`` is negative.

    Example:
        >>> import torch
        >>> student, teacher = torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
        >>> masks = torch.full((1, 4, 2, 2), 0.5)
        >>> masked_distance(
        ...     student=student, teacher=teacher, masks=masks
        ... ).item()
        0.5
    """
    name = 'masked_distance'
    check_maps(name, student=student, teacher=teacher)
    check_masks(name, masks, like=student, weights=token_weights)
    check_not_negative(name, eps=eps)
    with full_precision(masks) as (m,):
        areas = m.sum((2, 3)) + eps  # -> N,T
        # A mask that underflows to 0 everywhere has area 0; clamp it, so that
        # its term is 0 and not NaN.
        areas = areas.clamp_min(torch.finfo(areas.dtype).tiny)
        per_token = torch.full_like(areas, 1 / m.shape[1])
        if token_weights is not None:
            per_token = token_weights.to(areas)
        weights = torch.einsum('nthw,nt->nhw', m.square(), per_token / areas)
        errors = squared_error(student, teacher)
        value = (weights * errors).sum() / len(m)
    return value / 2 if half else value
