"""Metrics of MMEngine's evaluators."""

from .top_accuracy import TopAccuracy

__all__ = ['TopAccuracy']
