"""What is known of mmdet's and mmseg's models, without importing them."""

from .aliases import expand_alias
from .inputs import InputAdapter, InputForm
from .kinds import is_distillable, is_segmentor, loss_keys
from .probe import (
    FeatureSpec,
    Probe,
    blank_batch,
    blank_sample,
    probe,
    spec_of,
)
from .routes import follow, inference_route, routes_of

__all__ = [
    'FeatureSpec',
    'InputAdapter',
    'InputForm',
    'Probe',
    'blank_batch',
    'blank_sample',
    'expand_alias',
    'follow',
    'inference_route',
    'is_distillable',
    'is_segmentor',
    'loss_keys',
    'probe',
    'routes_of',
    'spec_of',
]
