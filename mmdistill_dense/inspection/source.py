"""Reads a config and builds its model for inspection."""

from argparse import ArgumentTypeError
from collections.abc import Mapping
from math import ceil

from mmengine.config import Config
from torch import nn

from mmdistill_dense.compat import config_path
from mmdistill_dense.models.utils import build_model
from mmdistill_dense.registry import MODELS

#: Default height and width of the dry run of ``DenseDistiller``.
DRY_RUN_SIZE = (256, 256)
#: Height and width, in pixels, if none can be read from a config.
_DEFAULT_SIZE = (512, 512)


def whole_number(text: str) -> int:
    """Parse a whole number above 0, for ``argparse``."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f'{text!r} is no whole number above 0')
    return int(text)


def read_config(name: str, options: Mapping | None = None) -> Config:
    """Read a config file or ``'package::path'``, and merge options.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it contains no model.
    """
    cfg = Config.fromfile(config_path(name))
    cfg.merge_from_dict(dict(options or {}))
    model = cfg.get('model')
    if not isinstance(model, dict) or 'type' not in model:
        raise ValueError(
            f"{name} holds no model: expected 'model' with a 'type' in it."
        )
    return cfg


def is_distilled(cfg: Config) -> bool:
    """Whether the config's model is a distilled student."""
    return 'student' in cfg.model


def has_description(cfg: Config) -> bool:
    """Whether the model is a token learner or a pre-training model."""
    is_own = cfg.model.type.startswith('mmdistill_dense.')
    return is_own and hasattr(MODELS.get(cfg.model.type), 'describe')


def build_distilled(
    cfg: Config, size: tuple[int, int] | None = None
) -> nn.Module:
    """Build the distilled model without loading weights.

    Args:
        cfg: Config of a distilled model.
        size: Height and width of the dry run's image instead of the
            config's, in pixels.

    Raises:
        ValueError: If the config is that of a stock model, or the build
            fails.
    """
    if not is_distilled(cfg):
        raise ValueError(
            f'this is the config of a stock model ({cfg.model.type}), nothing '
            'is distilled in it. --list shows what can be recorded of it, '
            'tools/new_distillation.py writes a distillation config for it.'
        )
    if size is not None:
        cfg.model.input_size = size
    return build_model(cfg)


def dry_run_size(cfg: Config) -> tuple[int, int]:
    """Height and width of the image of the dry run."""
    return tuple(cfg.model.get('input_size', DRY_RUN_SIZE))


def default_size(cfg: Config) -> tuple[int, int]:
    """Height and width of the images of a config, in pixels.

    The first of these that is set: ``model.input_size``, the crop size of a
    segmentor, the scale of the test pipeline, padded as in a batch; otherwise
    512x512.
    """
    if cfg.model.get('input_size'):
        return tuple(cfg.model.input_size)
    model = cfg.model.get('student', cfg.model)
    preprocessor = model.get('data_preprocessor') or {}
    if preprocessor.get('size'):
        return tuple(preprocessor['size'])
    scale = _test_scale(cfg)
    if scale is None:
        return _DEFAULT_SIZE
    divisor = preprocessor.get('pad_size_divisor', 1)
    width, height = (ceil(side / divisor) * divisor for side in scale)
    return height, width


def _test_scale(cfg: Config) -> tuple[int, int] | None:
    """Width and height, in the order of pipelines."""
    for step in cfg.get('test_pipeline') or []:
        scale = step.get('scale')
        if str(step.get('type')).endswith('Resize') and scale:
            return (scale, scale) if isinstance(scale, int) else tuple(scale)
    return None
