"""Frozen stock teachers."""

from .frozen import FrozenTeacher

__all__ = ['FrozenTeacher']
