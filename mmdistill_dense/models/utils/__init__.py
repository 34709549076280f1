"""Helpers shared by models, teachers and distillers."""

from .building import bare_model, build_model, resolve_config
from .frozen_holder import FrozenHolder, freeze
from .isolation import eval_mode, forked_rng
from .weights import (
    as_list,
    list_faults,
    load_and_compare,
    matches_any,
    plain_state,
    read_checkpoint,
)

__all__ = [
    'FrozenHolder',
    'as_list',
    'bare_model',
    'build_model',
    'eval_mode',
    'forked_rng',
    'freeze',
    'list_faults',
    'load_and_compare',
    'matches_any',
    'plain_state',
    'read_checkpoint',
    'resolve_config',
]
