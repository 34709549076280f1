"""Reading of checkpoints, and loading with a report of mismatches."""

import pickle
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine import fileio
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn


def read_checkpoint(path: str, what: str, remedy: str) -> dict:
    """Read a checkpoint or a bare state dict.

    Args:
        path: File or address, anything MMEngine loads, or one that ends in
            ``.safetensors``; or ``'package::path'``, a file that an installed
            package has.
        what: Description of the file, for messages.
        remedy: Remedy if it does not exist, for messages.

    Returns:
        A dict with ``state_dict``, which contains a tensor.

    Raises:
        FileNotFoundError: If it does not exist.
        ImportError: If a package that it needs is not installed.
        ValueError: If it is not a checkpoint, or contains objects that torch
            refuses to unpickle.
    """
    path = _file_of_package(str(path), what)
    in_safetensors = path.endswith('.safetensors')
    if in_safetensors and find_spec('safetensors') is None:
        raise ImportError(
            f'{what}, {path}, is in the safetensors format, and the package '
            'safetensors is not installed: pip install safetensors.'
        )
    load = _load_safetensors if in_safetensors else _load_pickle
    try:
        content = load(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{what} does not exist: {path}. {remedy}'
        ) from error
    except (EOFError, KeyError, RuntimeError) as error:
        raise ValueError(
            f'{what}, {path}, cannot be read as a checkpoint: {error!r}. '
            'Usual cause: a copy or download that was cut off.'
        ) from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'{what}, {path}, holds more than weights, which torch refuses '
            f'to unpickle: {error}. If you trust the file, load it with '
            'weights_only=False and save its state_dict alone.'
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{what}, {path}, holds no weights: it is a '
            f'{type(content).__name__}, expected a dict.'
        )
    if 'state_dict' not in content:
        # Other projects save it as 'model', or alone.
        inner = content.get('model')
        state = inner if isinstance(inner, dict) else content
        content = dict(state_dict=state)
    if not any(isinstance(v, Tensor) for v in content['state_dict'].values()):
        raise ValueError(
            f'{what}, {path}, holds no weights: it has the keys '
            f'{list(content["state_dict"])[:8]}.'
        )
    return content


def _file_of_package(path: str, what: str) -> str:
    """The file of ``'package::path'``; other paths stay as they are."""
    package, separator, rest = path.partition('::')
    if not (separator and package.isidentifier()):
        return path
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            f'{what}, {path}, lies in the package {package}, which is not '
            'installed.'
        )
    return str(Path(spec.submodule_search_locations[0]) / rest)


def _load_pickle(path: str) -> Any:
    return CheckpointLoader.load_checkpoint(path, map_location='cpu')


def _load_safetensors(path: str) -> dict[str, Tensor]:
    """Tensors of a file or an address.

    Raises:
        RuntimeError: If it is not in this format.
    """
    import safetensors.torch  # optional

    try:
        return safetensors.torch.load(fileio.get(path))
    except safetensors.SafetensorError as error:
        raise RuntimeError(str(error)) from error


def plain_state(state: dict) -> OrderedDict[str, Tensor]:
    """Tensors of a stock model, without prefixes and ``distill.*``.

    Args:
        state: State dict of a stock or a distilled model, bare or wrapped
            (``module.``).
    """
    weights = OrderedDict(
        (key, value)
        for key, value in _without_wrapper(state)
        if isinstance(value, Tensor) and not key.startswith('distill.')
    )
    # It has the versions of modules, by which hosts rename old keys.
    weights._metadata = OrderedDict(  # type: ignore[attr-defined]
        _without_wrapper(getattr(state, '_metadata', {}))
    )
    return weights


def _without_wrapper(entries: dict) -> Iterator[tuple]:
    for key, value in entries.items():
        yield key.removeprefix('module.'), value


def load_and_compare(
    model: nn.Module, state: OrderedDict[str, Tensor], allow: Sequence[str]
) -> dict[str, list[str]]:
    """Load the weights that fit, and return the keys that do not.

    Args:
        model: Model that gets the weights.
        state: The weights, by the keys of the model; those of another shape
            are removed.
        allow: Glob patterns of keys that may differ.

    Returns:
        Keys that are ``'missing'``, ``'unexpected'`` or ``'of another
        shape'``.
    """
    own = model.state_dict()
    other_shape: dict[str, tuple] = {}
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError:
        # Shapes that differ after the conversions of the modules.
        for key in own:
            if key in state and own[key].shape != state[key].shape:
                other_shape[key] = tuple(state.pop(key).shape)
        missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [key for key in missing if key not in other_shape]
    return {
        'missing': _not_allowed(missing, allow),
        'unexpected': _not_allowed(unexpected, allow),
        'of another shape': [
            f'{key} {other_shape[key]}, expected {tuple(own[key].shape)}'
            for key in _not_allowed(other_shape, allow)
        ],
    }


def _not_allowed(keys: Iterable[str], allow: Sequence[str]) -> list[str]:
    # Batch counters are unused in eval mode and missing in old files.
    patterns = (*allow, '*num_batches_tracked')
    return [key for key in keys if not matches_any(key, patterns)]


def matches_any(key: str, patterns: Iterable[str]) -> bool:
    """Whether a key of a state dict matches one of several glob patterns."""
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def as_list(patterns: str | Iterable[str]) -> list[str]:
    """Patterns or names of a config, which may give one without a list."""
    return [patterns] if isinstance(patterns, str) else list(patterns)


def list_faults(faults: dict[str, list[str]]) -> str:
    """One line per kind of mismatch, for messages."""
    return '\n'.join(
        f'  {len(keys)} {kind}: {"; ".join(keys[:4])}'
        + ('; ...' if len(keys) > 4 else '')
        for kind, keys in faults.items()
        if keys
    )
