from .masked_teacher_val_loop import MaskedTeacherValLoop

__all__ = ['MaskedTeacherValLoop']
