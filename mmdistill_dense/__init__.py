"""Distillation of dense-prediction models, as a plugin for OpenMMLab."""

from . import compat
from .version import __version__

compat.install()

__all__ = ['__version__']
