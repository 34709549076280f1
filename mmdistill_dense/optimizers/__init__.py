"""Optimizers of MMEngine's optimizer wrappers."""

from .lars import LARS

__all__ = ['LARS']
