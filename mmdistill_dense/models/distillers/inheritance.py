"""Modules of the student that are initialised from a teacher."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmdistill_dense.recorders import resolve_paths

from ..teachers import FrozenTeacher
from .report import log_teacher
from .settings import make_teacher


class Inheritance:
    """Which modules a student inherits, and from which teacher.

    Whether they fit is checked at once, on a teacher that is built for it
    and deleted again.

    Args:
        student: The student.
        modules: Module paths, globs or braces.
        teacher_name: Name of the teacher.
        teacher: Arguments of :class:`FrozenTeacher`.

    Raises:
        ValueError: If a module is in one of the models only, or if its
            tensors differ in name or shape.
    """

    def __init__(
        self,
        student: nn.Module,
        modules: Sequence[str],
        teacher_name: str,
        teacher: Mapping,
    ) -> None:
        self.teacher_name = teacher_name
        # Without switches, which may fold or round weights.
        switches = FrozenTeacher.switch_names
        self.teacher = {k: v for k, v in teacher.items() if k not in switches}
        self.modules = _resolve(modules, student, 'student')
        frozen = make_teacher(teacher_name, self.teacher, FrozenTeacher)
        stock, _ = frozen.build_model_and_run()
        _resolve(self.modules, stock, f'teacher {teacher_name!r}')
        for module in self.modules:
            _pairs(module, student, stock)

    def __str__(self) -> str:
        modules = ', '.join(self.modules)
        return (
            f'{modules} of the student: weights of teacher '
            f'{self.teacher_name!r}'
        )

    @torch.no_grad()
    def copy(
        self, student: nn.Module, teachers: Mapping[str, FrozenTeacher]
    ) -> None:
        """Copy the teacher's parameters and buffers into the student.

        Args:
            student: The student, initialised.
            teachers: Loaded teachers. A teacher that is not among them, or
                whose weights were changed to run faster, is loaded for the
                copy and deleted again.
        """
        shared = self.teacher_name in teachers
        if shared and not teachers[self.teacher_name].switches.changes_model:
            teacher = teachers[self.teacher_name]
        else:
            teacher = make_teacher(
                self.teacher_name, self.teacher, FrozenTeacher
            )
            teacher.load(next(student.parameters()))
            log_teacher(teacher)
        count = 0
        for module in self.modules:
            for target, source in _pairs(module, student, teacher.model):
                target.copy_(source)
                count += 1
        print_log(f'Inherited, {count} tensors: {self}.', logger='current')


def _resolve(patterns: Sequence[str], model: nn.Module, side: str) -> list:
    names = [name for name, _ in model.named_modules()]
    try:
        matches = [n for path in patterns for n in resolve_paths(path, names)]
    except ValueError as error:
        raise ValueError(f'inherit, {side}: {error}') from error
    return list(dict.fromkeys(matches))


def _pairs(
    module: str, student: nn.Module, stock: nn.Module
) -> list[tuple[Tensor, Tensor]]:
    """Tensors of one module in both models, equal in names and shapes."""
    students, teachers = (_tensors(m, module) for m in (student, stock))
    for key in sorted(students.keys() ^ teachers.keys()):
        side = 'student' if key in students else 'teacher'
        raise ValueError(
            f'inherit: {module!r} is not the same module in both models: '
            f'{key} is in the {side} only. Inherit a module that both '
            'models build alike, or a part of this one.'
        )
    for key, tensor in students.items():
        if tensor.shape != teachers[key].shape:
            raise ValueError(
                f'inherit: {module!r} cannot be inherited: {key} is '
                f'{tuple(tensor.shape)} in the student and '
                f'{tuple(teachers[key].shape)} in the teacher. Give the '
                "student's module the teacher's widths, or leave it out."
            )
    return [(tensor, teachers[key]) for key, tensor in students.items()]


def _tensors(model: nn.Module, module: str) -> dict[str, Tensor]:
    """Parameters and buffers; a frozen teacher has buffers only."""
    part = model.get_submodule(module)
    return {
        **dict(part.named_parameters(module, remove_duplicate=False)),
        **dict(part.named_buffers(module, remove_duplicate=False)),
    }
