"""Modules of the student that start with a teacher's weights."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmdistill_dense.recorders import resolve_paths

from ..teachers import FrozenTeacher
from ..teachers.stock import StockTeacher
from .report import log_teacher
from .settings import make_teacher


class Inheritance:
    """Which modules a student inherits, and from which teacher.

    Whether they fit is seen at once, on a teacher that is built for it and
    let go again.

    Args:
        student: The student.
        modules: Module paths, globs or braces.
        name: Name of the teacher.
        teacher: Arguments of :class:`FrozenTeacher`.

    Raises:
        ValueError: If a module is in one of them only, or if its tensors
            differ in name or shape.
    """

    def __init__(
        self,
        student: nn.Module,
        modules: Sequence[str],
        name: str,
        teacher: Mapping,
    ) -> None:
        self.name = name
        # Switches may fold weights or round them.
        known = StockTeacher.settings
        self.teacher = {k: v for k, v in teacher.items() if k in known}
        self.modules = _resolve(modules, student, 'student')
        frozen = make_teacher(name, self.teacher, FrozenTeacher)
        stock, _ = frozen.build_dry_run()
        _resolve(self.modules, stock, f'teacher {name!r}')
        for module in self.modules:
            _pairs(module, student, stock)

    def __str__(self) -> str:
        modules = ', '.join(self.modules)
        return f'{modules} of the student: weights of teacher {self.name!r}'

    @torch.no_grad()
    def copy(
        self, student: nn.Module, teachers: Mapping[str, FrozenTeacher]
    ) -> None:
        """Give the student the teacher's parameters and buffers.

        Args:
            student: The student, initialised.
            teachers: Those that are loaded; another one, or one whose
                weights were changed to run faster, is loaded for this and
                let go again.
        """
        shared = self.name in teachers
        if shared and not teachers[self.name].speed.changes_model:
            teacher = teachers[self.name]
        else:
            teacher = make_teacher(self.name, self.teacher, FrozenTeacher)
            teacher.load(next(student.parameters()))
            log_teacher(teacher)
        count = 0
        for module in self.modules:
            for ours, theirs in _pairs(module, student, teacher.model):
                ours.copy_(theirs)
                count += 1
        print_log(f'Inherited, {count} tensors: {self}.', logger='current')


def _resolve(patterns: Sequence[str], model: nn.Module, side: str) -> list:
    names = [name for name, _ in model.named_modules()]
    try:
        found = [n for path in patterns for n in resolve_paths(path, names)]
    except ValueError as error:
        raise ValueError(f'inherit, {side}: {error}') from error
    return list(dict.fromkeys(found))


def _pairs(
    module: str, student: nn.Module, stock: nn.Module
) -> list[tuple[Tensor, Tensor]]:
    """Tensors of one module in both models, which must agree in all."""
    ours, theirs = (_tensors(m, module) for m in (student, stock))
    for key in sorted(ours.keys() ^ theirs.keys()):
        side = 'student' if key in ours else 'teacher'
        raise ValueError(
            f'inherit: {module!r} is not the same module in both models: '
            f'{key} is in the {side} only. Inherit what both build alike, '
            'or a part of it.'
        )
    for key, tensor in ours.items():
        if tensor.shape != theirs[key].shape:
            raise ValueError(
                f'inherit: {module!r} cannot be inherited: {key} is '
                f'{tuple(tensor.shape)} in the student and '
                f'{tuple(theirs[key].shape)} in the teacher. Give the '
                "student's module the teacher's widths, or leave it out."
            )
    return [(tensor, theirs[key]) for key, tensor in ours.items()]


def _tensors(model: nn.Module, module: str) -> dict[str, Tensor]:
    """Parameters and buffers; a frozen teacher has buffers only."""
    found = model.get_submodule(module)
    return {
        **dict(found.named_parameters(module, remove_duplicate=False)),
        **dict(found.named_buffers(module, remove_duplicate=False)),
    }
