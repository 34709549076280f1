"""Recorders of the outputs or inputs of named modules."""

from .paths import resolve_paths
from .recorder import Recorder, StopForward
from .recorder_set import RecorderSet, Source

__all__ = ['Recorder', 'RecorderSet', 'Source', 'StopForward', 'resolve_paths']
