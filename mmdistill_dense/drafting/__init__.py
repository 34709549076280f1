"""Drafts a distillation config from two stock configs."""

from .methods import METHODS
from .writing import write_config

__all__ = ['METHODS', 'write_config']
