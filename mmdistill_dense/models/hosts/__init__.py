"""Structure of mmdet's and mmseg's models, without importing them."""

from .aliases import expand_alias
from .classifiers import ClassScores
from .dry_run import DryRunResult, blank_batch, blank_sample, dry_run
from .geometry import FeatureSpec, InputResizing, spec_of
from .inputs import InputAdapter, InputForm, input_channels
from .kinds import (
    is_distillable,
    is_segmentor,
    is_semi_supervised,
    loss_keys,
)
from .routes import inference_route, routes_of, run_route

__all__ = [
    'ClassScores',
    'DryRunResult',
    'FeatureSpec',
    'InputAdapter',
    'InputForm',
    'InputResizing',
    'blank_batch',
    'blank_sample',
    'dry_run',
    'expand_alias',
    'inference_route',
    'input_channels',
    'is_distillable',
    'is_segmentor',
    'is_semi_supervised',
    'loss_keys',
    'routes_of',
    'run_route',
    'spec_of',
]
