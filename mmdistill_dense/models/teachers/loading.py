"""Strict loading of a teacher's weights."""

import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from ..hosts import read_checkpoint


def load_weights(
    model: nn.Module, checkpoint: str, allow: Sequence[str], name: str
) -> str:
    """Load a checkpoint that covers the model exactly.

    Checkpoints of stock models, of distilled models (``distill.*`` is left
    out) and of data parallel wrappers (``module.*``) are read.

    Args:
        model: Gets the weights.
        checkpoint: File or address, anything MMEngine loads.
        allow: Glob patterns of keys that may be missing, unexpected or of
            another shape; these keep their random values.
        name: Name of the teacher, for messages.

    Returns:
        A fingerprint of the weights, to tell teachers apart by.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If keys are missing, unexpected or of another shape, or
            the file holds no weights.
    """
    state = read_weights(checkpoint, name)
    remedy = (
        'Usual cause: a checkpoint of another model, or of another number of '
        'classes. Change teacher.cfg_options so that the config describes '
        'the file'
    )
    return load_strictly(model, state, allow, checkpoint, name, remedy)


def load_strictly(
    model: nn.Module,
    state: OrderedDict[str, Tensor],
    allow: Sequence[str],
    checkpoint: str,
    name: str,
    remedy: str,
) -> str:
    """Load weights that cover a model exactly.

    Args:
        model: Gets the weights.
        state: The weights, by the model's own keys.
        allow: As in :func:`load_weights`.
        checkpoint: Where they are from, for messages.
        name: Name of the teacher, for messages.
        remedy: Usual cause where they do not fit, and what to change; it
            goes on with "or name what may differ".

    Returns:
        A fingerprint of the weights.

    Raises:
        ValueError: If keys are missing, unexpected or of another shape.
    """
    own = model.state_dict()
    other_shape: dict[str, tuple] = {}
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError:
        # Shapes that still differ after the modules' own conversions.
        for key in own:
            if key in state and own[key].shape != state[key].shape:
                other_shape[key] = tuple(state.pop(key).shape)
        missing, unexpected = model.load_state_dict(state, strict=False)
    faults = {
        'missing': [k for k in missing if k not in other_shape],
        'unexpected': unexpected,
        'of another shape': [
            f'{k} {other_shape[k]}, expected {tuple(own[k].shape)}'
            for k in _not_allowed(other_shape, allow)
        ],
    }
    for kind in ('missing', 'unexpected'):
        faults[kind] = _not_allowed(faults[kind], allow)
    if any(faults.values()):
        title = (
            f'the checkpoint of teacher {name!r} does not fit its config '
            f'({len(own)} tensors): {checkpoint}'
        )
        raise ValueError(_does_not_cover(title, faults, remedy))
    return fingerprint(state)


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Eight hexadecimal digits that change with any bit of the weights."""
    total = 0
    for key in sorted(state):
        data = state[key].detach().cpu().contiguous().flatten()
        total = zlib.crc32(key.encode(), total)
        total = zlib.crc32(data.view(torch.uint8).numpy(), total)
    return f'{total:08x}'


def read_weights(checkpoint: str, name: str) -> OrderedDict[str, Tensor]:
    """The tensors of a file, by its own keys; see :func:`load_weights`."""
    what = f'the checkpoint of teacher {name!r}'
    remedy = 'Set teacher.checkpoint to a file or an address.'
    content = read_checkpoint(checkpoint, what, remedy)
    weights = plain_state(content['state_dict'])
    if not weights:
        raise ValueError(f'{what}, {checkpoint}, holds no weights.')
    return weights


def plain_state(state: dict) -> OrderedDict[str, Tensor]:
    """Tensors of a stock model: no wrapper's prefix, nothing of ours.

    Args:
        state: State dict of a stock or a distilled model, bare or wrapped
            (``module.``).
    """
    weights = OrderedDict(
        (key, value)
        for key, value in _without_wrapper(state)
        if isinstance(value, Tensor) and not key.startswith('distill.')
    )
    # By the versions of modules in it, hosts rename keys of older files.
    weights._metadata = OrderedDict(
        _without_wrapper(getattr(state, '_metadata', {}))
    )
    return weights


def _without_wrapper(entries: dict) -> Iterator[tuple]:
    for key, value in entries.items():
        yield key.removeprefix('module.'), value


def _not_allowed(keys: Iterable[str], allow: Sequence[str]) -> list[str]:
    # Batch counters are not used in eval mode, and old files lack them.
    patterns = (*allow, '*num_batches_tracked')
    return [
        key
        for key in keys
        if not any(fnmatchcase(key, pattern) for pattern in patterns)
    ]


def _does_not_cover(
    title: str, faults: dict[str, list[str]], remedy: str
) -> str:
    lines = [title]
    for kind, keys in faults.items():
        if keys:
            shown = '; '.join(keys[:4]) + ('; ...' if len(keys) > 4 else '')
            lines.append(f'  {len(keys)} {kind}: {shown}')
    lines.append(
        f'{remedy}, or name what may differ: teacher.allow=[pattern, ...].'
    )
    return '\n'.join(lines)
