"""Child module ``distill`` of a distilled student: teachers and terms."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import cast

from mmengine.logging import print_log
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts import (
    DryRunResult,
    InputForm,
    dry_run,
    expand_alias,
    input_channels,
)
from ..teachers import FrozenTeacher
from ..utils import forked_rng
from . import guards
from .balance import BalanceMeter
from .building import build_term
from .guards import prefix_errors
from .inheritance import Inheritance
from .report import describe_terms, log_teacher
from .rois import SampledRoIs
from .schedule import Clock, check_lengths
from .settings import (
    check_used,
    choose_teacher,
    make_teacher,
    split_inherit,
    split_record_cfgs,
)
from .step import Step
from .term import Term


class Distillation(nn.Module):
    """Teachers, the student's recorders, and the terms between them.

    A plain ``nn.Module``, which MMEngine's ``init_weights`` ignores.

    Args:
        student: The stock model, which gets recorders.
        teachers: Arguments of each :class:`FrozenTeacher` by name.
        terms: Config of each term by name.
        input_size: Height and width of the dry run's image, in pixels.
        inherit: Modules that get a teacher's weights.

    Raises:
        ValueError: If a name, a module or a shape does not fit.
    """

    def __init__(
        self,
        student: nn.Module,
        teachers: Mapping[str, dict],
        terms: Mapping[str, dict],
        input_size: tuple[int, int],
        inherit: Sequence[str] | Mapping | None = None,
    ) -> None:
        super().__init__()
        guards.check_names(terms, student)
        self.clock = Clock()
        self.balance = BalanceMeter()
        self.recorders = RecorderSet(student)
        self.rois = SampledRoIs(self.recorders)
        self.teacher_of = {
            term_name: choose_teacher(term_name, term_cfg, teachers)
            for term_name, term_cfg in terms.items()
        }
        inherited_paths = split_inherit(inherit, teachers)
        check_used(teachers, {*self.teacher_of.values(), *inherited_paths})
        record_cfg_pairs = {
            term_name: split_record_cfgs(term_name, term_cfg)
            for term_name, term_cfg in terms.items()
        }
        with forked_rng():
            student_run = self._dry_run_student(
                student, record_cfg_pairs, input_size
            )
            # Mappings for mypy: the members of a ModuleDict have no type.
            self.terms = cast('MutableMapping[str, Term]', nn.ModuleDict())
            self.teachers = cast(
                'MutableMapping[str, FrozenTeacher]', nn.ModuleDict()
            )
            for teacher_name, cfg in teachers.items():
                if teacher_name in self.teacher_of.values():
                    self.teachers[teacher_name] = make_teacher(
                        teacher_name, cfg, FrozenTeacher
                    )
            teacher_runs = self._dry_run_teachers(
                student, record_cfg_pairs, input_size
            )
            for term_name, term_cfg in terms.items():
                teacher_run = teacher_runs[self.teacher_of[term_name]]
                self.terms[term_name] = build_term(
                    term_name,
                    term_cfg,
                    student,
                    student_run,
                    teacher_run,
                    input_size,
                )
            self.inheritances = [
                Inheritance(
                    student, paths, teacher_name, teachers[teacher_name]
                )
                for teacher_name, paths in inherited_paths.items()
            ]
        self._started = False
        if terms:
            print_log(describe_terms(self), logger='current')

    def _dry_run_student(
        self,
        student: nn.Module,
        record_cfg_pairs: Mapping,
        size: tuple[int, int],
    ) -> DryRunResult:
        for term_name, (record_cfg, _) in record_cfg_pairs.items():
            with prefix_errors(term_name, 'student'):
                path = expand_alias(record_cfg['path'], student)
                self.recorders.add(
                    student, term_name, **{**record_cfg, 'path': path}
                )
                self.rois.add_if_per_roi(student, term_name)
        if not record_cfg_pairs:
            return DryRunResult('', {}, {}, {})
        with prefix_errors(', '.join(record_cfg_pairs), 'student'):
            return dry_run(
                student, self.recorders, list(record_cfg_pairs), size
            )

    def _dry_run_teachers(
        self,
        student: nn.Module,
        record_cfg_pairs: Mapping,
        size: tuple[int, int],
    ) -> dict[str, DryRunResult]:
        form = InputForm.of(student, input_channels(student, size))
        runs = {}
        for teacher_name, teacher in self.teachers.items():
            record_cfgs = {
                term_name: record_cfg
                for term_name, (_, record_cfg) in record_cfg_pairs.items()
                if self.teacher_of[term_name] == teacher_name
            }
            with prefix_errors(
                ', '.join(record_cfgs), f'teacher {teacher_name!r}'
            ):
                runs[teacher_name] = teacher.configure(record_cfgs, form, size)
                for term_name in record_cfgs:
                    self.rois.check_teacher_paths(
                        term_name, teacher.paths[term_name]
                    )
        return runs

    @contextmanager
    def recording(
        self, inputs: Tensor, samples: list, student: nn.Module
    ) -> Iterator[Step]:
        """Run the teachers, then record the student inside ``with``.

        Only for the terms that are active now. Teachers run before
        activations of the student take memory; those that need the student's
        RoIs run after it.

        Args:
            inputs: Images (N, C, H, W); the student's forward pass inside
                ``with`` must get the same ones.
            samples: Their data samples.
            student: The student.

        Yields:
            The step; call its ``losses`` inside, after the student's forward.
        """
        if not self._started:
            schedules = {
                term_name: term.schedule
                for term_name, term in self.terms.items()
            }
            check_lengths(schedules, self.clock)
            self._started = True
        step = Step(self, inputs, samples)
        step.run_teachers(need_rois=False)
        with step.recording(student):
            yield step

    def load_teachers_and_losses(self, like: Tensor) -> None:
        """Load every teacher and every loss that is not loaded yet.

        Args:
            like: A parameter of the student, for device and dtype.
        """
        for teacher in self.teachers.values():
            if not teacher.loaded:
                teacher.load(like)
                log_teacher(teacher)
        for term_name, term in self.terms.items():
            if term.disabled:
                continue
            with prefix_errors(term_name):
                teacher = self.teachers[self.teacher_of[term_name]]
                if not term.loaded:
                    term.load(like, teacher)
                term.classes.compare_names(teacher.class_names)

    def copy_inherited(self, student: nn.Module) -> None:
        """Copy the inherited weights into the student.

        Call it after the teachers are loaded.
        """
        for inheritance in self.inheritances:
            inheritance.copy(student, self.teachers)
