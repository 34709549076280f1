"""Strict loading of a teacher's weights."""

import pickle
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn


def load_weights(
    model: nn.Module, checkpoint: str, allow: Sequence[str], name: str
) -> None:
    """Load a checkpoint that covers the model exactly.

    Checkpoints of stock models, of distilled models (``distill.*`` is left
    out) and of data parallel wrappers (``module.*``) are read.

    Args:
        model: Gets the weights.
        checkpoint: File or address, anything MMEngine loads.
        allow: Glob patterns of keys that may be missing, unexpected or of
            another shape; these keep their random values.
        name: Name of the teacher, for messages.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If keys are missing, unexpected or of another shape, or
            the file holds no weights.
    """
    state = _read(checkpoint, name)
    own = model.state_dict()
    other_shape: dict[str, tuple] = {}
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError:
        # Shapes that still differ after the modules' own conversions.
        for key in own.keys() & state.keys():
            if own[key].shape != state[key].shape:
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
        raise ValueError(_does_not_cover(checkpoint, name, faults, len(own)))


def _read(checkpoint: str, name: str) -> OrderedDict[str, Tensor]:
    try:
        content = CheckpointLoader.load_checkpoint(
            checkpoint, map_location='cpu'
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'the checkpoint of teacher {name!r} does not exist: '
            f'{checkpoint}. Set teacher.checkpoint to a file or an address.'
        ) from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'the checkpoint of teacher {name!r}, {checkpoint}, holds more '
            f'than weights, which torch refuses to unpickle: {error}. If you '
            'trust the file, load it with weights_only=False and save its '
            'state_dict alone.'
        ) from error
    found = content if isinstance(content, dict) else {}
    weights = plain_state(found.get('state_dict', found))
    if not weights:
        raise ValueError(
            f'the checkpoint of teacher {name!r}, {checkpoint}, holds no '
            f'weights: it is a {type(content).__name__} with the keys '
            f'{list(found)[:8]}.'
        )
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
    checkpoint: str, name: str, faults: dict[str, list[str]], total: int
) -> str:
    lines = [
        f'the checkpoint of teacher {name!r} does not fit its config '
        f'({total} tensors): {checkpoint}'
    ]
    for kind, keys in faults.items():
        if keys:
            shown = '; '.join(keys[:4]) + ('; ...' if len(keys) > 4 else '')
            lines.append(f'  {len(keys)} {kind}: {shown}')
    lines.append(
        'Usual cause: a checkpoint of another model, or of another number of '
        'classes. Change teacher.cfg_options so that the config describes '
        'the file, or name what may differ: teacher.allow=[pattern, ...].'
    )
    return '\n'.join(lines)
