"""What models, teachers and distillers share."""

from .building import bare_model, build_model, resolve_config
from .holder import Holder, freeze
from .isolation import evaluated, forked_rng
from .weights import (
    list_faults,
    load_and_compare,
    plain_state,
    read_checkpoint,
)

__all__ = [
    'Holder',
    'bare_model',
    'build_model',
    'evaluated',
    'forked_rng',
    'freeze',
    'list_faults',
    'load_and_compare',
    'plain_state',
    'read_checkpoint',
    'resolve_config',
]
