"""Loops of MMEngine's Runner."""

from .masked_teacher_loops import MaskedTeacherTestLoop, MaskedTeacherValLoop

__all__ = ['MaskedTeacherTestLoop', 'MaskedTeacherValLoop']
