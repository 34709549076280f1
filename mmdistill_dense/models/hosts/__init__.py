"""What is known of mmdet's and mmseg's models, without importing them."""

from .aliases import expand_alias
from .held import Holder, freeze
from .inputs import InputAdapter, InputForm
from .isolation import evaluated, forked_rng
from .maps import check_views, last_map, map_spec
from .probe import FeatureSpec, Probe, blank_batch, probe, spec_of
from .routes import follow, inference_route, routes_of
from .weights import read_checkpoint

__all__ = [
    'FeatureSpec',
    'Holder',
    'InputAdapter',
    'InputForm',
    'Probe',
    'blank_batch',
    'check_views',
    'evaluated',
    'expand_alias',
    'follow',
    'forked_rng',
    'freeze',
    'inference_route',
    'last_map',
    'map_spec',
    'probe',
    'read_checkpoint',
    'routes_of',
    'spec_of',
]
