"""Distillers turn a stock student into a distilled one."""

from .dense_distiller import DenseDistiller

__all__ = ['DenseDistiller']
