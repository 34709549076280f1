"""Backbones of students that the hosts do not have in this form."""

from .mobilenet_v3 import MobileNetV3

__all__ = ['MobileNetV3']
