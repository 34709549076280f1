"""Builds a network from a registry, or from any installed package."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from typing import Any

from torch import nn

from mmdistill_dense.registry import MODELS


def build_network(cfg: Mapping) -> nn.Module:
    """Build a registered module, or call something by its import path.

    Args:
        cfg: ``dict(type='mmseg.VisionTransformer', ...)``, or
            ``dict(call='timm.create_model', model_name=..., ...)``: all other
            keys are arguments, ``args`` the positional ones. A dict with
            ``call`` among the arguments is called first.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If there is nothing of that name, or it makes no module.
    """
    if not isinstance(cfg, Mapping) or not ('call' in cfg) ^ ('type' in cfg):
        raise ValueError(
            "model must be dict(type='mmdet.ResNet', ...), a registered "
            "backbone, or dict(call='timm.create_model', ...), the import "
            f'path of anything that makes a torch module, got {cfg!r}.'
        )
    # A copy: some modules write into their config.
    cfg = deepcopy(dict(cfg))
    network = MODELS.build(cfg) if 'type' in cfg else _call(cfg)
    if not isinstance(network, nn.Module):
        raise ValueError(
            f'model.call {cfg.get("call")!r} made a {type(network).__name__}, '
            'expected a torch module.'
        )
    return network


def _call(value: Any) -> Any:
    """The value of a setting; a dict with ``call`` is called."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_call, value))
    if not isinstance(value, Mapping):
        return value
    settings = {key: _call(item) for key, item in value.items()}
    if 'call' not in settings:
        return settings
    function = find(settings.pop('call'))
    return function(*settings.pop('args', ()), **settings)


def find(path: str) -> Callable:
    """What an import path names, ``package.module.Class.method``.

    Raises:
        ImportError: If the package cannot be imported.
        ValueError: If it has nothing of that name.
    """
    parts = path.split('.')
    for count in range(len(parts), 0, -1):
        module = '.'.join(parts[:count])
        try:
            found: Any = import_module(module)
        except ModuleNotFoundError as error:
            # Of something that the module itself imports, or of a class.
            if count > 1 and module.startswith(str(error.name)):
                continue
            raise ImportError(
                f'model.call {path!r} needs {error.name!r}, which is not '
                f'installed: pip install {error.name}.'
            ) from error
        for name in parts[count:]:
            if not hasattr(found, name):
                raise ValueError(
                    f'model.call {path!r}: there is no {name!r} in '
                    f'{getattr(found, "__name__", module)}.'
                )
            found = getattr(found, name)
        return found
    raise AssertionError('a path has at least one part')


def drop_modules(network: nn.Module, names: Sequence[str]) -> None:
    """Replace modules that are not needed, such as a classifier.

    They pass on what they get, and have no weights.

    Raises:
        ValueError: If there is no such module.
    """
    known = dict(network.named_modules())
    for name in names:
        if not name or name not in known:
            raise ValueError(
                f'drop: {type(network).__name__} has no module {name!r}. '
                f'Those at the top are {", ".join(dict(_top(known)))}.'
            )
        parent, _, child = name.rpartition('.')
        setattr(network.get_submodule(parent), child, nn.Identity())


def _top(modules: Mapping[str, nn.Module]) -> list[tuple[str, nn.Module]]:
    return [(n, m) for n, m in modules.items() if n and '.' not in n]
