"""From two configs to a distillation config."""

from .methods import METHODS
from .writing import write_config

__all__ = ['METHODS', 'write_config']
