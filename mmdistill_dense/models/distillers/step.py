"""State of one training step of a distilled student."""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts.assignment import (
    assigned_strides,
    assigning_head,
    capture_assignment,
)
from ..hosts.targets import read_targets
from ..teachers import FrozenTeacher
from . import guards
from .balance import own_parameters, sum_of_losses
from .extras import Extras
from .guards import prefix_errors
from .loss_inputs import LossInputs
from .recordings import Recordings
from .rois import SampledRoIs
from .schedule import Clock
from .share import Share, gradient_ratio
from .term import Term, graph_zero


class DistillationLike(Protocol):
    """Interface of ``Distillation`` for type hints.

    For modules that distillation.py imports, as they cannot import it back.
    """

    clock: Clock
    recorders: RecorderSet
    recordings: Recordings
    rois: SampledRoIs
    teacher_of: dict[str, str]
    teachers: MutableMapping[str, FrozenTeacher]
    terms: MutableMapping[str, Term]


class Step:
    """A batch, the factors of the terms, and the teachers' features.

    Created before the student's forward pass and deleted after the losses,
    so that the model keeps no tensor of a batch.

    Args:
        distill: The ``Distillation`` that this step belongs to.
        inputs: Images (N, C, H, W) of the student.
        samples: Their data samples.
    """

    def __init__(
        self, distill: DistillationLike, inputs: Tensor, samples: list
    ) -> None:
        if distill.terms:
            guards.check_inputs(inputs)
        self.distill = distill
        self.inputs, self.samples = inputs, samples
        #: Factor of each term in this iteration; 0 if it is not active.
        self.factors: dict[str, float] = {
            name: term.factor(distill.clock)
            for name, term in distill.terms.items()
        }
        #: Features by term, until the term is computed.
        self.teacher_features: dict[str, list[Tensor]] = {}
        self.loss_inputs = LossInputs(
            partial(distill.clock.now, False),
            inputs.shape[-2:] if distill.terms else None,
            partial(read_targets, samples, inputs),
        )
        if distill.terms:
            self.loss_inputs.device = inputs.device

    @property
    def active(self) -> list[str]:
        """Names of the terms whose factor is not 0."""
        return [name for name, factor in self.factors.items() if factor]

    @property
    def recorder_keys(self) -> list[str]:
        """Keys of the student's recorders for the active terms."""
        keys = self.distill.recordings.keys('student', self.active)
        return self.distill.rois.recorder_keys_of(keys)

    @contextmanager
    def recording(self, student: nn.Module) -> Iterator[None]:
        """Record what the losses need of the student inside ``with``.

        Args:
            student: The student, which computes its own loss inside.
        """
        with self.distill.recorders.recording(self.recorder_keys):
            terms = self.distill.terms
            if any('assigned' in terms[n].keywords for n in self.active):
                head = assigning_head(student)
                with capture_assignment(head) as assigned:
                    self.loss_inputs.assigned = assigned
                    self.loss_inputs.strides = assigned_strides(head)
                    yield
            else:
                yield

    def run_teachers(self, need_rois: bool) -> None:
        """Run the teachers of active terms on the batch.

        Args:
            need_rois: True: run only the teachers whose terms need the
                student's RoIs. False: run only the others.
        """
        distill = self.distill
        for teacher_name, teacher in distill.teachers.items():
            names = [
                name
                for name in self.active
                if distill.teacher_of[name] == teacher_name
            ]
            keys = distill.recordings.keys('teacher', names)
            if keys and distill.rois.any_needs_rois(keys) == need_rois:
                with prefix_errors(
                    ', '.join(names), f'teacher {teacher_name!r}'
                ):
                    rois = distill.rois.read(keys)
                    features = teacher(self.inputs, self.samples, keys, rois)
                    self.teacher_features.update(features)

    def losses(self) -> dict[str, Tensor]:
        """One scalar per term, with key ``loss_<name>``."""
        self.run_teachers(need_rois=True)
        return {
            f'loss_{name}': self._term_loss(term)
            if name in self.teacher_features
            else graph_zero(term, like=self.inputs)
            for name, term in self.distill.terms.items()
        }

    def with_shares(
        self, term_losses: dict[str, Tensor], task: Mapping, student: nn.Module
    ) -> dict[str, Tensor]:
        """Losses of the terms, with the weights of those with a share.

        Call it after ``recording``: activation checkpoints may run parts of
        the student again when gradients are measured.

        Args:
            term_losses: Result of ``losses``.
            task: The student's own losses.
            student: The student.

        Returns:
            The losses, and ``weight_<name>`` of each term with a share.
        """
        found = dict(term_losses)
        for name in self.active:
            term = self.distill.terms[name]
            if term.share is None:
                continue
            key = f'loss_{name}'
            with prefix_errors(name):
                self._measure(term.share, term_losses[key], task, student)
            weight = term.share.weight
            found[key] = self.factors[name] * weight * term_losses[key]
            found[f'weight_{name}'] = weight
        return found

    def _measure(
        self, share: Share, loss: Tensor, task: Mapping, student: nn.Module
    ) -> None:
        if not (torch.is_grad_enabled() and loss.requires_grad):
            return
        if share.due(self.distill.clock.now(False)):
            parameters = own_parameters(student)
            total = sum_of_losses(task)
            share.update(gradient_ratio(loss, total, parameters))

    def _term_loss(self, term: Term) -> Tensor:
        distill = self.distill
        # Removed here, so that it is freed after this term.
        teacher_levels = self.teacher_features.pop(term.name)
        teacher = distill.teachers[distill.teacher_of[term.name]]
        teacher.wait_for(teacher_levels)
        source = distill.recorders[term.name]
        with prefix_errors(term.name, 'student'):
            student_levels = source.read()
            self.loss_inputs.extras = self._extras(term.name, teacher)
        self.loss_inputs.through = None
        if term.name in teacher.chains:
            self.loss_inputs.through = partial(teacher.run_through, term.name)
        check_now = torch.is_grad_enabled() and not term.checked
        if check_now:
            weighted_student = term.weighted_levels(student_levels, 'student')
            weighted_teacher = term.weighted_levels(teacher_levels, 'teacher')
            guards.check_gradient(term.name, source.paths, weighted_student)
            # The keywords appear in the message.
            guards.check_finite(
                f'term {term.name!r}',
                student_feature=weighted_student,
                teacher_feature=weighted_teacher,
            )
        with prefix_errors(term.name):
            loss = term(
                student_levels,
                teacher_levels,
                self.factors[term.name] if term.share is None else 1.0,
                self.loss_inputs,
            )
        if check_now:
            guards.check_finite(f'term {term.name!r}', loss={0: loss})
            term.checked = True
        return loss

    def _extras(self, term_name: str, teacher: FrozenTeacher) -> Extras:
        """Levels of the extras of a term, by name and side."""
        extras: dict[str, dict[str, list[Tensor]]] = {}
        for one in self.distill.recordings.of_term(term_name):
            if not one.extra:
                continue
            sides = extras[one.extra] = {}
            if 'student' in one.cfgs:
                sides['student'] = self.distill.recorders[one.key].read()
            if 'teacher' in one.cfgs:
                sides['teacher'] = self.teacher_features.pop(one.key)
                teacher.wait_for(sides['teacher'])
        return extras
