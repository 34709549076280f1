"""Class scores of dense heads: sigmoids of their logits."""

from torch import Tensor

from .gradient import working_dtype


def largest_scores(logits: Tensor, dim: int = 1) -> Tensor:
    """Largest sigmoid over the classes, without a gradient.

    Args:
        logits: Class logits (N, K, ...), in any precision.
        dim: Dimension of the classes.

    Returns:
        Scores (N, ...), in float32, or in float64 for float64 logits.
    """
    return logits.detach().amax(dim).to(working_dtype(logits)).sigmoid()


def check_priors(name: str, weight: Tensor, *, like: Tensor) -> None:
    """Check that weights are (N, A, H, W), with A a divisor of the channels.

    Args:
        name: Caller name, prefixed to errors.
        weight: Weight of each prior.
        like: Map (N, A K, H, W) with K channels for each prior.

    Raises:
        ValueError: If the shape does not fit.
    """
    count, channels, *grid = like.shape
    fits = weight.ndim == 4 and not channels % max(weight.shape[1], 1)
    if not fits or (len(weight), *weight.shape[2:]) != (count, *grid):
        raise ValueError(
            f'{name}: weight must have shape ({count}, A, {grid[0]}, '
            f'{grid[1]}) for maps of shape {tuple(like.shape)}, with A priors '
            f'a cell that divide their {channels} channels, got '
            f'{tuple(weight.shape)}. Usual cause: a student and a teacher of '
            'other numbers of anchors.'
        )
