"""What is known of mmdet's and mmseg's models, without importing them."""

from .aliases import expand_alias
from .inputs import InputAdapter, InputForm
from .isolation import evaluated, forked_rng
from .probe import FeatureSpec, Probe, probe
from .routes import follow

__all__ = [
    'FeatureSpec',
    'InputAdapter',
    'InputForm',
    'Probe',
    'evaluated',
    'expand_alias',
    'follow',
    'forked_rng',
    'probe',
]
