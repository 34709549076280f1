"""Backbones of students that the hosts do not have in this form."""

from .mobilenet_v3 import mobilenet_v3

__all__ = ['mobilenet_v3']
