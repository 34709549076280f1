"""The teacher: frozen, observed, hosted, or a self-supervised encoder."""

from .frozen import FrozenTeacher
from .hosted import HostedTeacher
from .projection import ProjectionTeacher

__all__ = ['FrozenTeacher', 'HostedTeacher', 'ProjectionTeacher']
