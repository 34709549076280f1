"""The frozen teacher."""

from .frozen import FrozenTeacher

__all__ = ['FrozenTeacher']
