"""Loads a pre-trained backbone strictly, unlike MMEngine."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from ..utils import (
    list_faults,
    load_and_compare,
    plain_state,
    read_checkpoint,
)


def load_pretrained(backbone: nn.Module) -> bool:
    """Load the file of a backbone's ``init_cfg``; missing keys are errors.

    MMEngine's ``Pretrained`` logs missing keys and continues. Keys that the
    backbone does not have, such as those of a classifier, are ignored.

    Args:
        backbone: With or without ``init_cfg=dict(type='Pretrained',
            checkpoint=..., prefix=...)``.

    Returns:
        Whether there is such an ``init_cfg``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If weights are missing or of another shape.
    """
    settings = _pretrained_cfg(getattr(backbone, 'init_cfg', None))
    if settings is None:
        return False
    path, prefix = settings['checkpoint'], settings.get('prefix')
    state = _read(path)
    faults = load_and_compare(backbone, _strip_prefix(state, prefix), allow=())
    del faults['unexpected']
    if any(faults.values()):
        raise ValueError(
            f'{path} does not hold the weights of {type(backbone).__name__} '
            f'({len(backbone.state_dict())} tensors) below the prefix '
            f'{prefix!r}:\n{list_faults(faults)}\nKeys of the file are like '
            f'{", ".join(list(state)[:3])}. {_REMEDY}'
        )
    print_log(f'The backbone is loaded from {path}.', logger='current')
    backbone.is_init = True  # MMEngine skips it
    return True


def _pretrained_cfg(init_cfg: Any) -> dict | None:
    """The ``Pretrained`` among one or several ``init_cfg``."""
    several = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    for cfg in several:
        kind = (cfg or {}).get('type')
        if 'Pretrained' in getattr(kind, '__name__', str(kind)):
            return cfg
    return None


def _read(path: str) -> OrderedDict[str, Tensor]:
    content = read_checkpoint(
        path,
        "the checkpoint of the backbone's init_cfg",
        'Set model.backbone.init_cfg.checkpoint to a file or an address.',
    )
    return plain_state(content['state_dict'])


def _strip_prefix(
    state: OrderedDict[str, Tensor], prefix: str | None
) -> OrderedDict[str, Tensor]:
    """Entries below a prefix, without the prefix."""
    start = f'{prefix.rstrip(".")}.' if prefix else ''

    def inside(entries: dict) -> OrderedDict:
        return OrderedDict(
            (key.removeprefix(start), value)
            for key, value in entries.items()
            if key.startswith(start)
        )

    weights = inside(state)
    weights._metadata = inside(state._metadata)
    return weights


_REMEDY = (
    "Set model.backbone.init_cfg.prefix to what stands before the backbone's "
    "own keys ('backbone.' for files of tools/export_student.py), and "
    'model.backbone to the model that was pre-trained.'
)


def check_backbone_keys(
    model: nn.Module, keys: Iterable[str], prefix: str
) -> None:
    """Refuse a checkpoint without the backbone; MMEngine would only log it.

    Args:
        model: The model that is loaded, with a ``backbone``.
        keys: Keys of the checkpoint.
        prefix: Prefix of the model's own keys.

    Raises:
        ValueError: If no key belongs to the backbone.
    """
    start, keys = f'{prefix}backbone.', list(keys)
    if not any(key.startswith(start) for key in keys):
        raise ValueError(
            f'the checkpoint has no key that starts with "{start}", so '
            f'nothing of the backbone would be loaded: it has {keys[:4]}. '
            f'Expected a checkpoint of a {type(model).__name__}, or of '
            'another model with such a backbone.'
        )
