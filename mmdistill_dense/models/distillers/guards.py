"""Checks that turn silent failures into errors."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..hosts import loss_keys


@contextmanager
def prefix_errors(term: str, side: str = '') -> Iterator[None]:
    """Prefix errors raised inside with the name of the term, once."""
    where = f'term {term!r}' + (f', {side}' if side else '')
    try:
        yield
    except (ValueError, TypeError, RuntimeError) as error:
        kind = type(error)
        if kind not in (ValueError, TypeError, RuntimeError):
            raise  # subclasses, such as torch's out-of-memory error
        if str(error).startswith(where):
            raise
        raise kind(f'{where}: {error}') from error


def check_names(terms: Iterable[str], student: nn.Module) -> None:
    """Check that each term's log key is unused and will be summed.

    MMEngine sums every entry whose name contains ``loss``; a term called
    ``mask`` would replace the student's own ``loss_mask``.

    Raises:
        ValueError: If a name is not an identifier, or the student uses the
            key.
    """
    taken = loss_keys(student)
    for name in terms:
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(
                f'terms: {name!r} is no name for a term: expected letters, '
                'digits and underscores, as it is logged as loss_<name>.'
            )
        if hasattr(nn.ModuleDict, name):
            raise ValueError(
                f'terms: {name!r} is an attribute of torch modules: '
                f'call it {name}_kd.'
            )
        if name.startswith('loss'):
            raise ValueError(
                f'terms: {name!r} begins with "loss", which is put before '
                f'every name: call it {name[4:].strip("_") or "kd"!r}.'
            )
        if f'loss_{name}' in taken:
            raise ValueError(_taken(name, type(student).__name__))


def merge_losses(
    losses: dict, terms: Mapping[str, Tensor], student: str
) -> dict:
    """Add the losses of the terms to those of the student.

    Raises:
        ValueError: If the student returns an entry of the same name.
    """
    for key in terms:
        if key in losses:
            raise ValueError(_taken(key.removeprefix('loss_'), student))
    return {**losses, **terms}


def _taken(name: str, student: str) -> str:
    return (
        f'terms: {name!r} would be logged as loss_{name}, which {student} '
        f'returns itself. Choose another name, such as {name}_kd.'
    )


def check_inputs(inputs: object) -> None:
    """Check that the inputs of a step are one batch of images.

    Raises:
        TypeError: If they are not.
    """
    if not isinstance(inputs, Tensor) or inputs.ndim != 4:
        got = (
            tuple(inputs.shape)
            if isinstance(inputs, Tensor)
            else (type(inputs).__name__)
        )
        raise TypeError(
            'expected images of shape (N, C, H, W) from the '
            f'data preprocessor, got {got}. Models that take several batches '
            'at once (semi-supervised ones) cannot be distilled this way.'
        )


def check_per_image(term: str, side: str, features: list[Tensor]) -> None:
    """Check that a dry run of one image gave one row per tensor.

    Raises:
        ValueError: If it did not, as in a decoder with queries.
    """
    for feature in features:
        if feature.ndim == 0 or feature.shape[0] != 1:
            raise ValueError(
                f'term {term!r}: the {side} gives {tuple(feature.shape)} for '
                'one image, expected a first dimension of 1. Rows per '
                'query or proposal belong to different ones in the two '
                'models. Record maps: neck, backbone or dense logits.'
            )


def check_finite(prefix: str, **groups: dict[int, Tensor]) -> None:
    """Check that no tensor of a first step contains inf or NaN.

    Args:
        prefix: Begin of the message, such as ``"term 'kd'"``.
        **groups: Tensors by level; the keywords appear in the message.

    Raises:
        RuntimeError: If one does.
    """
    for what, tensors in groups.items():
        for level, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise RuntimeError(
                    f'{prefix}: {what} {level} contains inf or NaN '
                    f'{tuple(tensor.shape)} in its first step. Usual cause: '
                    'a wrong checkpoint, a learning rate or loss scale that '
                    'is too high, or fp16 overflow (use bf16).'
                )


def check_gradient(
    term: str, paths: list[str], student: dict[int, Tensor]
) -> None:
    """Check that the student's features have a graph.

    Raises:
        RuntimeError: If one does not: its loss would train nothing.
    """
    for level, feature in student.items():
        if not feature.requires_grad:
            raise RuntimeError(
                f'term {term!r}: student feature {level} of {paths} has no '
                'gradient, so the term would train nothing. Usual causes: '
                'the module ran under no_grad; it is frozen '
                '(frozen_stages): leave its level out with a level_weights '
                'entry of 0; or it lies inside a re-entrant activation '
                'checkpoint (with_cp=True): record the module outside it, '
                'use use_reentrant=False, or switch with_cp off.'
            )
