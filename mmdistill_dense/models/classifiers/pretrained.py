"""Loads a pre-trained backbone strictly, where MMEngine would be lax."""

import logging
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from ..hosts import read_checkpoint


def load_pretrained(backbone: nn.Module) -> bool:
    """Load the file of a backbone's ``init_cfg``; a hole is an error.

    MMEngine's ``Pretrained`` logs missing keys and trains on. Keys that the
    backbone does not have, a classifier's say, are no fault.

    Args:
        backbone: With or without ``init_cfg=dict(type='Pretrained',
            checkpoint=..., prefix=...)``.

    Returns:
        Whether it had one.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If weights are missing or of another shape.
    """
    settings = _pretrained(getattr(backbone, 'init_cfg', None))
    if settings is None:
        return False
    path, prefix = settings['checkpoint'], settings.get('prefix')
    state = _read(path)
    weights = _below(state, prefix)
    faults = _load(backbone, weights)
    if faults:
        raise ValueError(_message(path, prefix, faults, state, backbone))
    print_log(f'The backbone is loaded from {path}.', logger='current')
    return True


def warn_of_random_features() -> None:
    """Say that a frozen backbone has no weights of its own yet."""
    print_log(
        'BackboneClassifier: the backbone is frozen and has no init_cfg='
        "dict(type='Pretrained', checkpoint=..., prefix='backbone.'). Unless "
        'load_from or a resume brings its weights, the features stay random.',
        logger='current',
        level=logging.WARNING,
    )


def _pretrained(init_cfg: Any) -> dict | None:
    """The ``Pretrained`` among one or several ``init_cfg``."""
    several = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    for cfg in several:
        kind = (cfg or {}).get('type')
        if 'Pretrained' in getattr(kind, '__name__', str(kind)):
            return cfg
    return None


def _read(path: str) -> dict[str, Tensor]:
    content = read_checkpoint(
        path,
        "the checkpoint of the backbone's init_cfg",
        'Set model.backbone.init_cfg.checkpoint to a file or an address.',
    )
    return {
        key.removeprefix('module.'): value
        for key, value in content['state_dict'].items()
        if isinstance(value, Tensor)
    }


def _below(state: dict[str, Tensor], prefix: str | None) -> dict[str, Tensor]:
    """What lies below a prefix, by its names in the backbone."""
    start = f'{prefix.rstrip(".")}.' if prefix else ''
    return {
        key.removeprefix(start): value
        for key, value in state.items()
        if key.startswith(start)
    }


def _load(backbone: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Load, unless something is wrong; says what."""
    own = backbone.state_dict()
    faults = [
        f'{key} of shape {tuple(weights[key].shape)}, expected '
        f'{tuple(own[key].shape)}'
        for key in own.keys() & weights.keys()
        if own[key].shape != weights[key].shape
    ]
    if not faults:
        missing, _ = backbone.load_state_dict(weights, strict=False)
        # Old files lack the batch counters.
        faults = [
            f'{key} missing'
            for key in missing
            if not key.endswith('num_batches_tracked')
        ]
    return faults


def _message(
    path: str,
    prefix: str | None,
    faults: list[str],
    state: dict[str, Tensor],
    backbone: nn.Module,
) -> str:
    shown = '; '.join(sorted(faults)[:4]) + ('; ...' if faults[4:] else '')
    return (
        f'{path} does not hold the weights of {type(backbone).__name__} '
        f'below the prefix {prefix!r}: {len(faults)} of '
        f'{len(backbone.state_dict())} tensors do not fit: {shown}. Keys of '
        f'the file are like {", ".join(list(state)[:3])}. Set '
        'model.backbone.init_cfg.prefix to what stands before the '
        "backbone's own keys ('backbone.' for files of "
        'tools/export_student.py), and model.backbone to the model that was '
        'pre-trained.'
    )
