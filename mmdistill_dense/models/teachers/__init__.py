"""The teacher: frozen, observed, hosted, or a self-supervised encoder."""

from .frozen import FrozenTeacher

__all__ = ['FrozenTeacher']
