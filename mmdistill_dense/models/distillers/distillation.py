"""Child module ``distill`` of a distilled student: teachers and terms."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import cast

from mmengine.logging import print_log
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts import DryRun, InputForm, dry_run, expand_alias
from ..teachers import FrozenTeacher
from ..utils import forked_rng
from . import guards
from .balance import BalanceMeter
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
    split_taps,
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
            name: choose_teacher(name, term, teachers)
            for name, term in terms.items()
        }
        inherited = split_inherit(inherit, teachers)
        check_used(teachers, {*self.teacher_of.values(), *inherited})
        taps = {name: split_taps(name, t) for name, t in terms.items()}
        with forked_rng():
            student_run = self._dry_run_student(student, taps, input_size)
            # Mappings for mypy: the members of a ModuleDict have no type.
            self.terms = cast('MutableMapping[str, Term]', nn.ModuleDict())
            self.teachers = cast(
                'MutableMapping[str, FrozenTeacher]', nn.ModuleDict()
            )
            for name, cfg in teachers.items():
                if name in self.teacher_of.values():
                    self.teachers[name] = make_teacher(
                        name, cfg, FrozenTeacher
                    )
            teacher_runs = self._dry_run_teachers(student, taps, input_size)
            for name, term in terms.items():
                self._add_term(name, term, student_run, teacher_runs)
            self.inheritances = [
                Inheritance(student, modules, name, teachers[name])
                for name, modules in inherited.items()
            ]
        self._started = False
        if terms:
            print_log(describe_terms(self), logger='current')

    def _dry_run_student(
        self, student: nn.Module, taps: Mapping, size: tuple[int, int]
    ) -> DryRun:
        for name, (tap, _) in taps.items():
            with prefix_errors(name, 'student'):
                path = expand_alias(tap['path'], student)
                self.recorders.add(student, name, **{**tap, 'path': path})
                self.rois.add(student, name)
        if not taps:
            return DryRun('', {}, {}, {})
        with prefix_errors(', '.join(taps), 'student'):
            return dry_run(student, self.recorders, list(taps), size)

    def _dry_run_teachers(
        self, student: nn.Module, taps: Mapping, size: tuple[int, int]
    ) -> dict[str, DryRun]:
        form = InputForm.of(student)
        runs = {}
        for name, teacher in self.teachers.items():
            own_taps = {
                term: tap
                for term, (_, tap) in taps.items()
                if self.teacher_of[term] == name
            }
            with prefix_errors(', '.join(own_taps), f'teacher {name!r}'):
                runs[name] = teacher.attach(own_taps, form, size)
                for term in own_taps:
                    self.rois.check(term, teacher.paths[term])
        return runs

    def _add_term(
        self,
        name: str,
        cfg: dict,
        student_run: DryRun,
        teacher_runs: Mapping[str, DryRun],
    ) -> None:
        """Build a term and run it on the maps of the dry runs."""
        teacher_run = teacher_runs[self.teacher_of[name]]
        settings = {k: v for k, v in cfg.items() if k not in ('at', 'teacher')}
        guards.check_per_image(name, 'student', student_run.features[name])
        guards.check_per_image(name, 'teacher', teacher_run.features[name])
        with prefix_errors(name):
            if 'loss' not in settings:
                raise ValueError("no 'loss' is given.")
            term = Term(
                name,
                student=student_run.specs[name],
                teacher=teacher_run.specs[name],
                **settings,
            )
            student_maps = student_run.features[name]
            # A model that the caller built may be on a GPU, or in float64.
            like = student_maps[0]
            teacher_maps = [x.to(like) for x in teacher_run.features[name]]
            term.to(like).eval().dry_run(student_maps, teacher_maps)
        self.terms[name] = term.train()

    @contextmanager
    def recording(self, inputs: Tensor, samples: list) -> Iterator[Step]:
        """Record the student's features for the terms that are active now.

        Teachers run first, before activations of the student take memory;
        those that need the student's RoIs run after it.

        Args:
            inputs: Images (N, 3, H, W) that the student gets inside.
            samples: Their data samples.

        Yields:
            The step; call its ``losses`` inside, after the student's forward.
        """
        if not self._started:
            schedules = {k: term.schedule for k, term in self.terms.items()}
            check_lengths(schedules, self.clock)
            self._started = True
        step = Step(self, inputs, samples)
        step.run_teachers(after_student=False)
        with self.recorders.recording(step.sources):
            yield step

    def load_teachers(self, like: Tensor) -> None:
        """Load every teacher and every loss that is not loaded yet.

        Args:
            like: A parameter of the student, for device and dtype.
        """
        for teacher in self.teachers.values():
            if not teacher.loaded:
                teacher.load(like)
                log_teacher(teacher)
        for name, term in self.terms.items():
            if not (term.loaded or term.disabled):
                with prefix_errors(name):
                    term.load(like, self.teachers[self.teacher_of[name]])

    def inherit(self, student: nn.Module) -> None:
        """Copy the inherited weights into the student; teachers are loaded."""
        for inheritance in self.inheritances:
            inheritance.copy(student, self.teachers)
