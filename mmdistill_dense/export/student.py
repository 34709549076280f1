"""Exports the student of a distillation run: weights and stock config."""

import copy
import pickle
from collections import OrderedDict
from typing import Any

from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from torch import nn

from mmdistill_dense.models.teachers.loading import plain_state
from mmdistill_dense.models.utils import build_model

#: Keys of a checkpoint's meta that the host's inferencers read.
META_KEYS = ('dataset_meta', 'experiment_name', 'epoch', 'iter', 'seed')


def student_config(cfg: Config) -> Config:
    """The stock config inside a distillation config.

    Data, schedule and runtime are kept; teacher and terms are removed.

    Args:
        cfg: A config whose model is a ``DenseDistiller``.

    Raises:
        ValueError: If its model has no student.
    """
    model = cfg.get('model') or {}
    if 'student' not in model:
        raise ValueError(
            'expected the config of a distilled model (model.type='
            f"'mmdistill_dense.DenseDistiller'), got {model.get('type')!r}. "
            'A stock model needs no export.'
        )
    stock = copy.deepcopy(cfg)
    stock.model = stock.model.student
    # Top-level variables of the files in _base_/terms and _base_/teachers.
    for key in ('terms', 'teacher', 'token_cfg'):
        stock.pop(key, None)
    if stock.get('custom_hooks'):
        stock.custom_hooks = [
            h for h in stock.custom_hooks if not _needs_this_package(h)
        ]
    stock.load_from, stock.resume = None, False
    return stock


def _needs_this_package(hook: dict) -> bool:
    """Whether a hook needs this package, which the host may not have."""
    return str(hook.get('type')).startswith('mmdistill_dense.')


def student_checkpoint(checkpoint: str, raw: bool = False) -> dict:
    """The student's tensors in a checkpoint, with its meta.

    Args:
        checkpoint: File or address of any checkpoint of the training.
        raw: Whether to take the trained weights instead of their average,
            which was validated, in a run with ``EMAHook``.

    Returns:
        ``state_dict`` and ``meta``, readable with ``weights_only=True``.

    Raises:
        ValueError: If there is no such state dict in the file.
    """
    try:
        content = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(
            f'{checkpoint} cannot be read as a checkpoint: {error}'
        ) from error
    key = 'ema_state_dict' if raw else 'state_dict'
    if key not in content:
        raise ValueError(
            f'{checkpoint} holds no {key!r}, only {sorted(content)}. '
            'Expected a checkpoint that MMEngine wrote'
            + (' in a run with EMAHook.' if raw else '.')
        )
    meta = content.get('meta') or {}
    weights = plain_state(content[key])
    weights.pop('steps', None)  # counter of the averaged model
    return dict(
        meta={
            name: _to_builtin(meta[name]) for name in META_KEYS if name in meta
        },
        state_dict=weights,
    )


def build_student(cfg: Config, weights: OrderedDict) -> nn.Module:
    """Build the stock model and load it strictly.

    Raises:
        ValueError: If the weights are not those of the config's student.
    """
    model = build_model(cfg)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"the checkpoint does not fit the config's student: {error} "
            'Give the config that the run was started with; it is in the '
            'work dir.'
        ) from error
    return model


def _to_builtin(value: Any) -> Any:
    """Convert to types that ``torch.load`` reads with ``weights_only``."""
    if isinstance(value, dict):
        return {str(k): _to_builtin(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_builtin(item) for item in value]
    if hasattr(value, 'tolist'):
        return value.tolist()
    known = isinstance(value, (str, int, float, bool)) or value is None
    return value if known else str(value)
