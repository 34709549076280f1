"""Refusals that every function of this floor shares."""

import math

from torch import Tensor


def check_maps(name: str, *, student: Tensor, teacher: Tensor) -> None:
    """Check that both are equal-shaped, floating (N, C, H, W) maps.

    Args:
        name: Who asks; it opens the message.
        student: Any object that came as the student's map.
        teacher: Any object that came as the teacher's map.

    Raises:
        TypeError: If one of them is not a floating point tensor.
        ValueError: If a shape is not 4-D, is empty, or the two differ.
    """
    for side, value in (('student', student), ('teacher', teacher)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            got = getattr(value, 'dtype', type(value).__name__)
            raise TypeError(
                f'{name}: {side} must be a floating point tensor of shape '
                f'(N, C, H, W), got {got}.'
            )
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


def check_classes(name: str, logits: Tensor) -> None:
    """Check that (N, C, H, W) logits have classes to choose between.

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
