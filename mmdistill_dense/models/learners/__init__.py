"""Models that learn what a teacher needs, before it teaches."""

from .instance_contrast import InstanceContrast

__all__ = ['InstanceContrast']
