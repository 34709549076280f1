"""Stock models: reading configs, building, unwrapping."""

from copy import deepcopy
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.model import is_model_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmdistill_dense.compat import config_path
from mmdistill_dense.registry import MODELS


def resolve_config(cfg: str | dict, options: dict | None) -> Config:
    """Read a teacher's config and merge its options.

    Args:
        cfg: ``'package::path'``, a file, a whole config or a model config
            (a dict with ``type``).
        options: Settings to merge into the *whole* config, as
            ``{'model.backbone.depth': 50}`` or as nested dicts.

    Returns:
        A config whose ``model`` is a stock model; of a distilled model it is
        the student.

    Raises:
        FileNotFoundError: If the file or package does not exist.
        ValueError: If it contains no model.
    """
    if isinstance(cfg, str):
        config = Config.fromfile(config_path(cfg))
    elif isinstance(cfg, dict):
        config = Config(dict(cfg) if 'model' in cfg else dict(model=cfg))
    else:
        raise ValueError(
            "teacher.cfg must be 'package::path', a file or a dict, got "
            f'{type(cfg).__name__}.'
        )
    for key, value in (options or {}).items():
        # One by one: in MMEngine model=dict(...), the form of --cfg-options,
        # would replace a 'model.a' in the same dict.
        config.merge_from_dict({key: value})
    model = config.get('model')
    if not isinstance(model, dict) or 'type' not in model:
        raise ValueError(
            f"teacher.cfg {cfg!r} holds no model: expected 'model' with a "
            "'type' in it."
        )
    if 'student' in model:
        config.model = model['student']
    return config


def build_model(config: Config) -> nn.Module:
    """Build the model under the config's own ``default_scope``."""
    scope = config.get('default_scope')
    with DefaultScope.overwrite_default_scope(scope):
        # As the Runner, inject the preprocessor of the top level.
        preprocessor = config.get('data_preprocessor')
        defaults = {}
        if preprocessor is not None:
            defaults = ConfigDict(data_preprocessor=preprocessor)
        # A copy: some models (Deformable DETR, DINO) modify their config and
        # cannot be built from it again.
        return MODELS.build(deepcopy(config.model), default_args=defaults)


def bare_model(runner: Runner) -> Any:
    """The Runner's model, without a data parallel wrapper."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model
