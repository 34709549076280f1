"""Read the weights of a file, with a sentence where there are none."""

import pickle

from mmengine.runner import CheckpointLoader
from torch import Tensor


def read_checkpoint(path: str, what: str, remedy: str) -> dict:
    """A checkpoint; a file that is a bare state dict becomes one.

    Args:
        path: File or address, anything MMEngine loads.
        what: What the file should be, for messages.
        remedy: What to do where it does not exist.

    Returns:
        At least ``state_dict``, with a tensor in it.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is no checkpoint, or holds more than torch is
            willing to unpickle.
    """
    try:
        content = CheckpointLoader.load_checkpoint(path, map_location='cpu')
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
        # Other projects than OpenMMLab's call it 'model', or save it alone.
        inner = content.get('model')
        state = inner if isinstance(inner, dict) else content
        content = dict(state_dict=state)
    if not any(isinstance(v, Tensor) for v in content['state_dict'].values()):
        raise ValueError(
            f'{what}, {path}, holds no weights: it has the keys '
            f'{list(content["state_dict"])[:8]}.'
        )
    return content
