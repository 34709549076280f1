"""Pooling of a map by an attention that is learned."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .gradient import once_differentiable, pieces, working_dtype


def attention_pool(feature: Tensor, key: Tensor) -> Tensor:
    r"""Mean of the vectors of a map, weighted by a softmax over positions.

    .. math::
        G_{nc} = \sum_i p_{ni} X_{nci}, \qquad
        p_{ni} = \mathrm{softmax}_i \Bigl(\sum_c k_c X_{nci}\Bigr)

    A bias of the key would move all scores of an image alike, so there is
    none. Memory: (N, H, W) maps and the gradient; only the map itself is
    saved. Computed in float32 for half precision maps, also inside autocast,
    in float64 for float64 ones. A second derivative raises an error.

    Source: the context modelling of Cao et al., "GCNet: Non-local Networks
    Meet Squeeze-Excitation Networks and Beyond", ICCVW 2019 (arXiv
    1904.11492).

    Args:
        feature: Map of shape (N, C, H, W).
        key: Weights of the channels, (C,).

    Returns:
        Vectors of shape (N, C).

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> import torch
        >>> feature = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
        >>> attention_pool(feature, torch.tensor([0.0])).item()
        2.0
    """
    if feature.ndim != 4 or key.shape != feature.shape[1:2]:
        raise ValueError(
            'attention_pool: expected a map (N, C, H, W) and a key (C,), got '
            f'{tuple(feature.shape)} and {tuple(key.shape)}.'
        )
    pooled: Tensor = _AttentionPool.apply(  # type: ignore[no-untyped-call]
        feature, key
    )
    return pooled


class _AttentionPool(Function):
    @staticmethod
    def forward(ctx: Any, feature: Tensor, key: Tensor) -> Tensor:
        key = key.to(working_dtype(feature, key))
        scores = _over_channels(feature, key.expand(len(feature), -1))
        share = scores.flatten(1).softmax(1).view_as(scores)
        pooled = _over_positions(feature, share)
        ctx.save_for_backward(feature, key, share, pooled)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        feature, key, share, pooled = ctx.saved_tensors
        mean = (grad_output * pooled).sum(1)[:, None, None]
        scores = share * (_over_channels(feature, grad_output) - mean)
        gradient = None
        if ctx.needs_input_grad[0]:
            gradient = torch.empty_like(feature)
            for index in pieces(feature):
                n, cells = index[0], (..., None, None)
                part = grad_output[index][cells] * share[n, None]
                part += key[index[1:]][cells] * scores[n, None]
                gradient[index] = part
        return gradient, _over_positions(feature, scores).sum(0)


def _over_channels(feature: Tensor, weights: Tensor) -> Tensor:
    """Sum over channels with weights (N, C): (N, H, W)."""
    total = weights.new_zeros(len(feature), *feature.shape[2:])
    for index in pieces(feature):
        part = feature[index].to(weights.dtype)
        total[index[0]] += (part * weights[index][..., None, None]).sum(1)
    return total


def _over_positions(feature: Tensor, weights: Tensor) -> Tensor:
    """Sum over positions with weights (N, H, W): (N, C)."""
    total = weights.new_empty(feature.shape[:2])
    for index in pieces(feature):
        part = feature[index].to(weights.dtype)
        total[index] = (part * weights[index[0], None]).sum((2, 3))
    return total
