"""Exports the backbone of a pre-training run for downstream configs."""

import copy
from collections import OrderedDict

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from .student import student_checkpoint

PREFIX = 'backbone.'
#: Prefixes in a pre-training checkpoint; all but ``backbone`` are dropped.
PRETRAINING_PARTS = {'backbone', 'attention', 'contrast', 'head', 'queue'}


def is_pretraining(cfg: Config) -> bool:
    """Whether a config pre-trains a backbone, as PCD does."""
    kind = str((cfg.get('model') or {}).get('type'))
    return kind.endswith(('PixelContrastDistiller', 'InstanceContrast'))


def backbone_config(cfg: Config, checkpoint: str) -> Config:
    """Config of the backbone alone, initialised from a file.

    Args:
        cfg: Config of the pre-training run.
        checkpoint: Path of the exported file, as a downstream config names
            it.
    """
    backbone = copy.deepcopy(cfg.model.backbone)
    backbone.init_cfg = init_cfg(checkpoint)
    scope = cfg.get('default_scope')
    return Config(dict(default_scope=scope, model=dict(backbone=backbone)))


def init_cfg(checkpoint: str) -> dict:
    """Value for ``model.backbone.init_cfg`` of a downstream config."""
    return dict(type='Pretrained', checkpoint=checkpoint, prefix=PREFIX)


def backbone_checkpoint(checkpoint: str, raw: bool = False) -> dict:
    """The tensors below ``backbone.``, with the checkpoint's meta.

    Args:
        checkpoint: File or address of any checkpoint of the pre-training.
        raw: Whether to take the trained weights instead of their average, in
            a run with ``EMAHook``.

    Returns:
        ``state_dict`` and ``meta``, readable with ``weights_only=True``.

    Raises:
        ValueError: If there are none, or the file is of another model.
    """
    content = student_checkpoint(checkpoint, raw)
    state = content['state_dict']
    parts = {key.partition('.')[0] for key in state}
    if 'backbone' not in parts or parts - PRETRAINING_PARTS:
        raise ValueError(
            f'{checkpoint} is no checkpoint of a pre-training run: expected '
            f'keys below {", ".join(sorted(PRETRAINING_PARTS))}, got keys '
            f'below {", ".join(sorted(parts)[:8])}. Give a checkpoint of the '
            'run that the config belongs to.'
        )
    weights = OrderedDict(
        (key, value) for key, value in state.items() if _is_backbone(key)
    )
    weights._metadata = OrderedDict(
        (k, v) for k, v in state._metadata.items() if _is_backbone(f'{k}.')
    )
    return dict(content, state_dict=weights)


def _is_backbone(key: str) -> bool:
    return key.startswith(PREFIX)


def build_backbone(cfg: Config, weights: OrderedDict) -> nn.Module:
    """Build the student's backbone and load it strictly.

    Args:
        cfg: Config of the pre-training run.
        weights: Tensors by keys with the prefix ``backbone.``.

    Raises:
        ValueError: If the weights are not those of the config's backbone.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        backbone = MODELS.build(copy.deepcopy(cfg.model.backbone))
    try:
        nn.ModuleDict(dict(backbone=backbone)).load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"the checkpoint does not fit the config's backbone: {error} "
            'Give the config that the run was started with; it is in the '
            'work dir.'
        ) from error
    return backbone
