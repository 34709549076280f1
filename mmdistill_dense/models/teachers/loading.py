"""Strict loading of a teacher's weights."""

import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..utils import list_faults, load_and_compare, plain_state, read_checkpoint


def load_weights(
    model: nn.Module, checkpoint: str, allow: Sequence[str], name: str
) -> tuple[str, list[str]]:
    """Load a checkpoint that covers the model exactly.

    Reads checkpoints of stock models, of distilled models (without
    ``distill.*``) and of data parallel wrappers (``module.*``).

    Args:
        model: Model that gets the weights.
        checkpoint: File or address, anything MMEngine loads.
        allow: Glob patterns of keys that may be missing, unexpected or of
            another shape; such tensors keep their random values.
        name: Name of the teacher, for messages.

    Returns:
        A fingerprint of the weights, to distinguish teachers, and the names
        of its classes in the file, if there are any.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If keys are missing, unexpected or of another shape, or
            the file holds no weights.
    """
    content = _read(checkpoint, name)
    state = content['state_dict']
    remedy = (
        'Usual cause: a checkpoint of another model, or of another number of '
        'classes. Change teacher.cfg_options so that the config describes '
        'the file'
    )
    fingerprint = load_strictly(model, state, allow, checkpoint, name, remedy)
    return fingerprint, _class_names(content.get('meta'))


def _class_names(meta: object) -> list[str]:
    """Names in the meta of a checkpoint of MMEngine, or of older versions."""
    found: object = None
    if isinstance(meta, dict):
        found = meta.get('CLASSES')
        if isinstance(data := meta.get('dataset_meta'), dict):
            found = data.get('classes', data.get('CLASSES', found))
    return list(map(str, found)) if isinstance(found, (list, tuple)) else []


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
        model: Model that gets the weights.
        state: The weights, by the keys of the model.
        allow: As in :func:`load_weights`.
        checkpoint: Origin of the weights, for messages.
        name: Name of the teacher, for messages.
        remedy: Usual cause and remedy, for messages; the message continues
            with "or name what may differ".

    Returns:
        A fingerprint of the weights.

    Raises:
        ValueError: If keys are missing, unexpected or of another shape.
    """
    faults = load_and_compare(model, state, allow)
    if any(faults.values()):
        raise ValueError(
            f'the checkpoint of teacher {name!r} does not fit its config '
            f'({len(model.state_dict())} tensors): {checkpoint}\n'
            f'{list_faults(faults)}\n{remedy}, or name what may differ: '
            'teacher.allow=[pattern, ...].'
        )
    return fingerprint(state)


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """CRC of the weights and their names, eight hexadecimal digits."""
    total = 0
    for key in sorted(state):
        data = state[key].detach().cpu().contiguous().flatten()
        total = zlib.crc32(key.encode(), total)
        total = zlib.crc32(data.view(torch.uint8).numpy(), total)
    return f'{total:08x}'


def read_weights(checkpoint: str, name: str) -> OrderedDict[str, Tensor]:
    """Tensors of a file, by the keys in the file; see :func:`load_weights`."""
    return _read(checkpoint, name)['state_dict']


def _read(checkpoint: str, name: str) -> dict:
    what = f'the checkpoint of teacher {name!r}'
    remedy = 'Set teacher.checkpoint to a file or an address.'
    content = read_checkpoint(checkpoint, what, remedy)
    weights = plain_state(content['state_dict'])
    if not weights:
        raise ValueError(f'{what}, {checkpoint}, holds no weights.')
    return {**content, 'state_dict': weights}
