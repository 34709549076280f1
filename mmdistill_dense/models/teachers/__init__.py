"""The teacher: frozen, observed or hosted."""

from .frozen import FrozenTeacher
from .hosted import HostedTeacher

__all__ = ['FrozenTeacher', 'HostedTeacher']
