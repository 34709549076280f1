"""The target assignment of a dense head, captured in its own loss."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

from torch import Tensor, nn

from ..losses.inputs import Assignment

#: Parameters of mmdet's ``loss_by_feat_single``, which a head with anchors
#: calls once per level (AnchorHead, ATSSHead, GFLHead and those that inherit
#: it from them). Heads that call it per image have other names.
_NAMES = ('labels', 'label_weights', 'bbox_targets', 'anchors', 'avg_factor')


def assigning_head(model: nn.Module) -> Any:
    """The dense head of a detector, whose assignment can be captured.

    Raises:
        ValueError: If the model has none, or one that assigns otherwise.
    """
    head = getattr(model, 'bbox_head', None)
    single = getattr(head, 'loss_by_feat_single', None)
    if single is None or not set(_NAMES) <= _parameters(single).keys():
        found = 'no dense bbox_head' if head is None else type(head).__name__
        raise ValueError(
            "the loss needs 'assigned', the target assignment of the "
            f"student's dense head, but {type(model).__name__} has {found}: "
            'expected a head of GFL, ATSS or RetinaNet.'
        )
    return head


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def assigned_strides(head: Any) -> list[tuple[float, float]]:
    """Vertical and horizontal stride of each level, in pixels."""
    return [
        (float(vertical), float(horizontal))
        for horizontal, vertical in head.prior_generator.strides
    ]


def _coding(head: Any) -> tuple[Sequence[float], Sequence[float]] | None:
    """Means and deviations of a plain coder of differences to priors."""
    coder = head.bbox_coder
    if getattr(coder, 'add_ctr_clamp', True):  # of other coders, and YOLOF
        return None
    return coder.means, coder.stds


@contextmanager
def capture_assignment(head: Any) -> Iterator[list[Assignment]]:
    """Capture what a head assigns in its loss inside ``with``.

    Nothing is assigned again, and the head's loss is not changed.

    Args:
        head: A result of :func:`assigning_head`.

    Yields:
        A list that gets one entry per level.
    """
    single = head.loss_by_feat_single
    signature = inspect.signature(single)
    levels: list[Assignment] = []

    @wraps(single)
    def capture(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        found = (given[name] for name in _NAMES)
        levels.append(Assignment(*found, _coding(head)))
        return single(*args, **kwargs)

    # On this instance only; it hides the method of the class.
    head.loss_by_feat_single = capture
    try:
        yield levels
    finally:
        del head.loss_by_feat_single


def blank_assignment(
    head: Any, grids: Sequence[Sequence[int]], like: Tensor
) -> list[Assignment]:
    """An assignment of background to all priors of one image.

    Args:
        head: A result of :func:`assigning_head`.
        grids: Height and width of each level, in cells.
        like: Tensor whose device and dtype it gets.
    """
    levels = []
    counts = head.prior_generator.num_base_priors
    for (height, width), count in zip(grids, counts, strict=True):
        zeros = like.new_zeros(1, height * width * count, 4)
        labels = like.new_full(zeros.shape[:2], head.num_classes).long()
        weights = like.new_ones(zeros.shape[:2])
        found = labels, weights, zeros, zeros, 1.0
        levels.append(Assignment(*found, _coding(head)))
    return levels
