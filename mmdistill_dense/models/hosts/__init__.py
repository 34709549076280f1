"""What is known of mmdet's and mmseg's models, without importing them."""

from .aliases import expand_alias
from .backboned import BackboneModel
from .held import Holder, freeze
from .inputs import InputAdapter, InputForm
from .isolation import evaluated, forked_rng
from .maps import check_views, last_map, map_spec
from .probe import (
    FeatureSpec,
    Probe,
    blank_batch,
    blank_sample,
    probe,
    spec_of,
)
from .routes import follow, inference_route, routes_of
from .weights import (
    list_faults,
    load_and_compare,
    plain_state,
    read_checkpoint,
)

__all__ = [
    'BackboneModel',
    'FeatureSpec',
    'Holder',
    'InputAdapter',
    'InputForm',
    'Probe',
    'blank_batch',
    'blank_sample',
    'check_views',
    'evaluated',
    'expand_alias',
    'follow',
    'forked_rng',
    'freeze',
    'inference_route',
    'last_map',
    'list_faults',
    'load_and_compare',
    'map_spec',
    'plain_state',
    'probe',
    'read_checkpoint',
    'routes_of',
    'spec_of',
]
