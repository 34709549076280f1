"""Drafts a distillation config from two stock configs."""

from .encoders import encoder_names
from .methods import METHODS
from .writing import write_config

__all__ = ['METHODS', 'encoder_names', 'write_config']
