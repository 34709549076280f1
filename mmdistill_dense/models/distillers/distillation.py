"""Child module ``distill`` of a distilled student: teachers and terms."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import cast

from mmengine.logging import print_log
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts import (
    DryRunResult,
    FeatureSpec,
    InputForm,
    dry_run,
    input_channels,
)
from ..teachers import FrozenTeacher
from ..utils import forked_rng
from . import guards
from .balance import BalanceMeter
from .building import build_term
from .guards import prefix_errors
from .inheritance import Inheritance
from .recordings import Recordings
from .report import describe_terms, log_teacher
from .rois import SampledRoIs
from .schedule import Clock, check_lengths
from .settings import (
    check_used,
    choose_teacher,
    make_teacher,
    split_inherit,
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
        self.recordings = Recordings.of(terms)
        with forked_rng():
            student_run = self._dry_run_student(student, input_size)
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
            teacher_runs = self._dry_run_teachers(student, input_size)
            for term_name, term_cfg in terms.items():
                teacher_run = teacher_runs[self.teacher_of[term_name]]
                self.terms[term_name] = build_term(
                    term_name,
                    term_cfg,
                    self.recordings.of_term(term_name),
                    student,
                    student_run,
                    teacher_run,
                    input_size,
                    self._through_specs(term_name),
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

    def _through_specs(self, term_name: str) -> list[FeatureSpec] | None:
        teacher = self.teachers[self.teacher_of[term_name]]
        return teacher.through_specs.get(term_name)

    def _dry_run_student(
        self, student: nn.Module, size: tuple[int, int]
    ) -> DryRunResult:
        self.recordings.add_to_student(student, self.recorders, self.rois)
        names = list(self.teacher_of)
        if not names:
            return DryRunResult('', {}, {}, {})
        with prefix_errors(', '.join(names), 'student'):
            keys = self.recordings.keys('student', names)
            return dry_run(student, self.recorders, keys, size)

    def _dry_run_teachers(
        self, student: nn.Module, size: tuple[int, int]
    ) -> dict[str, DryRunResult]:
        form = InputForm.of(student, input_channels(student, size))
        runs = {}
        for teacher_name, teacher in self.teachers.items():
            recordings = [
                one
                for one in self.recordings.all
                if self.teacher_of[one.term] == teacher_name
                and 'teacher' in one.cfgs
            ]
            names = dict.fromkeys(one.term for one in recordings)
            with prefix_errors(', '.join(names), f'teacher {teacher_name!r}'):
                cfgs = {one.key: one.cfgs['teacher'] for one in recordings}
                through = {
                    term: paths
                    for term, paths in self.recordings.through.items()
                    if term in names
                }
                runs[teacher_name] = teacher.configure(
                    cfgs, form, size, through
                )
                for one in recordings:
                    paths = teacher.paths[one.key]
                    if one.extra:
                        self.rois.add_extra(one.term, one.key, paths)
                    else:
                        self.rois.check_teacher_paths(one.term, paths)
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
