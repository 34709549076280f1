"""Argument checks shared by the whole library."""

import math

import torch
from torch import Tensor


def check_maps(name: str, *, student: Tensor, teacher: Tensor) -> None:
    """Check that both are floating point (N, C, H, W) maps of one shape.

    Args:
        name: Caller name, prefixed to errors.
        student: Object passed as the student map.
        teacher: Object passed as the teacher map.

    Raises:
        TypeError: If one of them is not a floating point tensor.
        ValueError: If a shape is not 4-D, is empty, or the two differ.
    """
    sides = dict(student=student, teacher=teacher)
    _check_floating(name, ' of shape (N, C, H, W)', **sides)
    for side, value in sides.items():
        if value.ndim != 4 or value.numel() == 0:
            raise ValueError(
                f'{name}: {side} must be a non-empty (N, C, H, W) map, got '
                f'shape {tuple(value.shape)}.'
            )
    if student.shape != teacher.shape:
        raise ValueError(
            f'{name}: student {tuple(student.shape)} and teacher '
            f'{tuple(teacher.shape)} differ, expected one shape (N, C, H, W). '
            'Usual cause: two models of different width or stride; align '
            'them first with a 1x1 convolution and with resize_to.'
        )


def check_outputs(name: str, *, student: Tensor, teacher: Tensor) -> None:
    """Check that both are floating point tensors of one shape, any shape.

    Raises:
        TypeError: If one of them is not a floating point tensor.
        ValueError: If the shapes differ.
    """
    _check_floating(name, student=student, teacher=teacher)
    if student.shape != teacher.shape:
        raise ValueError(
            f'{name}: student {tuple(student.shape)} and teacher '
            f'{tuple(teacher.shape)} differ, expected one shape. Usual cause: '
            'heads of different numbers of classes or anchors, or a '
            'class-agnostic regression (reg_class_agnostic=True) on one side '
            'only; give both heads the same form.'
        )


def _check_floating(name: str, shape: str = '', **sides: object) -> None:
    for side, value in sides.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = getattr(value, 'dtype', type(value).__name__)
            raise TypeError(
                f'{name}: {side} must be a floating point tensor{shape}, '
                f'got {got}.'
            )


def check_masks(
    name: str,
    masks: Tensor,
    *,
    like: Tensor | None = None,
    weights: Tensor | None = None,
) -> None:
    """Check that masks are (N, T, H, W), and fit a map and weights.

    Args:
        name: Caller name, prefixed to errors.
        masks: Object passed as masks.
        like: Map (N, C, H, W) that the masks are applied to.
        weights: One weight per mask, (N, T).

    Raises:
        ValueError: If a shape does not fit.
    """
    if masks.ndim != 4 or masks.numel() == 0:
        raise ValueError(
            f'{name}: masks must be a non-empty (N, T, H, W) tensor, got '
            f'shape {tuple(masks.shape)}.'
        )
    count, tokens, *grid = masks.shape
    if like is not None and (like.shape[0], *like.shape[2:]) != (count, *grid):
        raise ValueError(
            f'{name}: masks {tuple(masks.shape)} do not fit maps of shape '
            f'{tuple(like.shape)}: N, H and W must agree. Compute them from '
            'maps of this grid.'
        )
    if weights is not None and weights.shape != (count, tokens):
        raise ValueError(
            f'{name}: token_weights must have shape {(count, tokens)} for '
            f'masks {tuple(masks.shape)}, got {tuple(weights.shape)}.'
        )


def check_queue(name: str, queue: Tensor, *, like: Tensor) -> None:
    """Check that a queue is (C, K) with columns of unit L2 norm.

    Args:
        name: Caller name, prefixed to errors.
        queue: Object passed as a queue.
        like: Map (N, C, H, W) that is compared with the queue.

    Raises:
        TypeError: If it is not a floating point tensor.
        ValueError: If the shapes do not fit, or the L2 norm of a column
            differs from 1 by more than 1e-2. About a thousand columns are
            checked; on a GPU none, to avoid a synchronisation per step.
    """
    _check_floating(name, ' of shape (C, K)', queue=queue)
    channels = like.shape[1]
    if queue.ndim != 2 or queue.numel() == 0 or len(queue) != channels:
        raise ValueError(
            f'{name}: queue {tuple(queue.shape)} does not fit maps of shape '
            f'{tuple(like.shape)}, expected ({channels}, K): one column per '
            'negative, of as many channels as the maps have. Usual cause: '
            'the queue of another teacher, or its transpose.'
        )
    if queue.is_cuda:
        return
    some = queue[:, :: max(1, queue.shape[1] // 1024)]
    norms = torch.linalg.vector_norm(some, dim=0)
    worst = (norms - 1).abs().max().item()
    if not worst <= 1e-2:
        raise ValueError(
            f'{name}: the columns of queue must have unit L2 norm, one '
            f'differs by {worst:.3g}. Normalise them over the channels: '
            'torch.nn.functional.normalize(queue, dim=0).'
        )


def check_valid(name: str, valid: Tensor | None, *, like: Tensor) -> None:
    """Check that ``valid`` is None or a bool mask of the cells of a map.

    Raises:
        TypeError: If it is not a bool tensor.
        ValueError: If its shape is not (N, H, W) of the map.
    """
    if valid is None:
        return
    if not isinstance(valid, Tensor) or valid.dtype != torch.bool:
        got = getattr(valid, 'dtype', type(valid).__name__)
        raise TypeError(
            f'{name}: valid must be a bool tensor of shape (N, H, W), or '
            f'None for all cells, got {got}.'
        )
    shape = (like.shape[0], *like.shape[2:])
    if valid.shape != shape:
        raise ValueError(
            f'{name}: valid must have shape {shape} for maps of shape '
            f'{tuple(like.shape)}, got {tuple(valid.shape)}.'
        )


def check_classes(name: str, logits: Tensor) -> None:
    """Check that (N, C, H, W) logits have at least two classes.

    Raises:
        ValueError: If C is 1, where a softmax over classes is always 1.
    """
    if logits.shape[1] == 1:
        raise ValueError(
            f'{name}: expected at least 2 classes, got maps of shape '
            f'{tuple(logits.shape)}: a softmax over one class is always 1, '
            'and the loss 0. Usual cause: a binary head with one sigmoid '
            'output; give both models two outputs, or use ChannelWiseLoss, '
            'whose softmax runs over positions.'
        )


def check_int(name: str, value: object, least: int) -> None:
    """Check that a setting is an integer, and not below a limit.

    Args:
        name: Name of the setting, which begins the message.
        value: Any object; True and False are not integers here.
        least: Smallest value allowed.

    Raises:
        ValueError: If it is not.
    """
    is_bool = isinstance(value, bool)
    if is_bool or not isinstance(value, int) or value < least:
        raise ValueError(
            f'{name} must be an integer >= {least}, got {value!r}.'
        )


def check_positive(name: str, **values: float) -> None:
    """Check that every value is a finite number above zero.

    Raises:
        ValueError: If one is not; the message names it.
    """
    for key, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(
                f'{name}: {key} must be a finite number above 0, got {value}.'
            )


def check_not_negative(name: str, **values: float) -> None:
    """Check that every value is a finite number, 0 or above.

    Raises:
        ValueError: If one is not; the message names it.
    """
    for key, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(
                f'{name}: {key} must be a finite number >= 0, got {value}.'
            )


def check_weight(name: str, weight: float) -> float:
    """Return ``weight`` if it is a finite number that is not negative.

    Raises:
        ValueError: If it is not; ``name`` is prefixed to the message.
    """
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not (number and math.isfinite(weight) and weight >= 0):
        raise ValueError(
            f'{name}: a weight must be a finite number >= 0, got {weight!r}.'
        )
    return float(weight)
