"""All that a distilled student carries: its only child of ours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts import InputForm, Probe, expand_alias, forked_rng, probe
from . import guards
from .balance import BalanceMeter
from .inheritance import Inheritance
from .regions import SampledRegions
from .report import announce, describe_terms, note_tokens
from .schedule import Clock, check_length
from .settings import (
    check_used,
    choose_teacher,
    make_teacher,
    split_inherit,
    split_taps,
)
from .term import Term, zero_of


class Distillation(nn.Module):
    """Teachers, the student's recorders, and the terms between them.

    A plain module on purpose: MMEngine's ``init_weights`` leaves it alone.

    Args:
        student: The stock model; recorders are put on it.
        teachers: Arguments of each :class:`FrozenTeacher` by name.
        terms: Config of each term by name.
        input_size: Height and width of the dry run's image, in pixels.
        inherit: Modules that start with a teacher's weights.

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
        self.regions = SampledRegions(self.recorders)
        self.teacher_of = {
            name: choose_teacher(name, term, teachers)
            for name, term in terms.items()
        }
        lent = split_inherit(inherit, teachers)
        check_used(teachers, {*self.teacher_of.values(), *lent})
        taps = {name: split_taps(name, t) for name, t in terms.items()}
        with forked_rng():
            ours = self._look_at_student(student, taps, input_size)
            self.terms = nn.ModuleDict()
            self.teachers = nn.ModuleDict(
                {
                    name: make_teacher(name, cfg)
                    for name, cfg in teachers.items()
                    if name in self.teacher_of.values()
                }
            )
            theirs = self._look_at_teachers(student, taps, input_size)
            for name, term in terms.items():
                self._add_term(name, term, ours, theirs)
            self.inheritances = [
                Inheritance(student, modules, name, teachers[name])
                for name, modules in lent.items()
            ]
        self._factors: dict[str, float] = {}
        self._began = False
        if terms:
            print_log(describe_terms(self), logger='current')

    def _look_at_student(
        self, student: nn.Module, taps: Mapping, size: tuple[int, int]
    ) -> Probe | None:
        for name, (tap, _) in taps.items():
            with _naming(name, 'student'):
                path = expand_alias(tap['path'], student)
                self.recorders.add(student, name, **{**tap, 'path': path})
                self.regions.add(student, name)
        if not taps:
            return None
        with _naming(', '.join(taps), 'student'):
            return probe(student, self.recorders, list(taps), size)

    def _look_at_teachers(
        self, student: nn.Module, taps: Mapping, size: tuple[int, int]
    ) -> dict[str, Probe]:
        form = InputForm.of(student)
        found = {}
        for name, teacher in self.teachers.items():
            mine = {
                term: tap
                for term, (_, tap) in taps.items()
                if self.teacher_of[term] == name
            }
            with _naming(', '.join(mine), f'teacher {name!r}'):
                found[name] = teacher.attach(mine, form, size)
                for term in mine:
                    self.regions.check(term, teacher.paths[term])
        return found

    def _add_term(
        self, name: str, cfg: dict, ours: Probe, theirs: Mapping[str, Probe]
    ) -> None:
        """Build a term and try it on the maps of the dry runs."""
        other = theirs[self.teacher_of[name]]
        settings = {k: v for k, v in cfg.items() if k not in ('at', 'teacher')}
        guards.check_per_image(name, 'student', ours.features[name])
        guards.check_per_image(name, 'teacher', other.features[name])
        with _naming(name):
            if 'loss' not in settings:
                raise ValueError("no 'loss' is given.")
            levels = dict(student=ours.specs[name], teacher=other.specs[name])
            term = Term(name, **levels, **settings)
            mine = ours.features[name]
            # A model that was handed over may be on a GPU, or in float64.
            where = dict(device=mine[0].device, dtype=mine[0].dtype)
            seen = [feature.to(**where) for feature in other.features[name]]
            term.to(**where).eval().trial(mine, seen)
        self.terms[name] = term.train()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what the terms that are active now need of the student."""
        if not self._began:
            self._compare_lengths()
        self._factors = {
            name: term.factor(self.clock) for name, term in self.terms.items()
        }
        sources = self.regions.with_sources(self._active())
        with self.recorders.recording(sources):
            yield

    def _compare_lengths(self) -> None:
        """In the first step, when the Runner has told how long it will be."""
        for name, term in self.terms.items():
            with _naming(name):
                length = self.clock.length(term.schedule.by_epoch)
                check_length(term.schedule, length)
        self._began = True

    def _active(self) -> list[str]:
        return [name for name, factor in self._factors.items() if factor]

    def forward(self, inputs: Tensor, samples: list) -> dict[str, Tensor]:
        """Show the batch to the teachers and compare; inside ``recording``.

        Args:
            inputs: Images (N, 3, H, W) that the student has just seen.
            samples: Their data samples.

        Returns:
            One scalar per term, ``loss_<name>``.
        """
        if self.terms:
            guards.check_inputs(inputs)
        theirs = self._ask_teachers(inputs, samples)
        return {
            f'loss_{name}': self._compare(term, theirs[name])
            if name in theirs
            else zero_of(term, like=inputs)
            for name, term in self.terms.items()
        }

    def _ask_teachers(self, inputs: Tensor, samples: list) -> dict:
        """Features by term, of those teachers that an active term needs."""
        features = {}
        for name, teacher in self.teachers.items():
            keys = [k for k in self._active() if self.teacher_of[k] == name]
            if keys:
                with _naming(', '.join(keys), f'teacher {name!r}'):
                    rois = self.regions.read(keys)
                    features.update(teacher(inputs, samples, keys, rois))
        return features

    def _compare(self, term: Term, theirs: list[Tensor]) -> Tensor:
        source = self.recorders[term.name]
        with _naming(term.name, 'student'):
            ours = source.read()
        first = torch.is_grad_enabled() and not term.checked
        if first:
            mine, other = term.compared(ours, 0), term.compared(theirs, 1)
            guards.check_gradient(term.name, source.paths, mine)
            guards.check_finite(
                term.name, student_feature=mine, teacher_feature=other
            )
        factor, clock = self._factors[term.name], self.clock
        loss = term(ours, theirs, factor, partial(clock.now, False))
        if first:
            guards.check_finite(term.name, loss={0: loss})
            term.checked = True
        return loss

    def weigh(self, losses: Mapping[str, Tensor], student: nn.Module) -> None:
        """Measure this step for ``balance``, if that was asked for."""
        self.balance.measure(losses, self._factors, student)

    def load_teachers(self, like: Tensor) -> None:
        """Load every teacher and every loss that is not loaded yet.

        Args:
            like: A parameter of the student, for device and dtype.
        """
        for teacher in self.teachers.values():
            if not teacher.loaded:
                teacher.load(like)
                announce(teacher)
        for name, term in self.terms.items():
            if not (term.loaded or term.resting):
                with _naming(name):
                    term.load(like)
                owner = self.teachers[self.teacher_of[name]]
                note_tokens(name, term.loss, owner)

    def inherit(self, student: nn.Module) -> None:
        """Give the student what it inherits, with its teachers loaded."""
        for inheritance in self.inheritances:
            inheritance.copy(student, self.teachers)


@contextmanager
def _naming(term: str, side: str = '') -> Iterator[None]:
    """Put the term's name before what a lower floor has to say."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError) as error:
        kind = type(error)
        if kind not in (ValueError, TypeError, RuntimeError):
            raise  # such as torch's out-of-memory error
        where = f'term {term!r}' + (f', {side}' if side else '')
        raise kind(f'{where}: {error}') from error
