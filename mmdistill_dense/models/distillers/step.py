"""One training step of a distilled student: what is known of its batch."""

from collections.abc import MutableMapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from mmdistill_dense.recorders import RecorderSet

from ..teachers import FrozenTeacher
from . import guards
from .guards import prefix_errors
from .rois import SampledRoIs
from .schedule import Clock
from .term import Term, graph_zero


class DistillationLike(Protocol):
    """The parts of a ``Distillation``, for those that it imports itself."""

    clock: Clock
    recorders: RecorderSet
    rois: SampledRoIs
    teacher_of: dict[str, str]
    teachers: MutableMapping[str, FrozenTeacher]
    terms: MutableMapping[str, Term]


class Step:
    """A batch, the factors of the terms on it, and the teachers' features.

    Made before the student's forward pass and dropped after the losses, so
    that nothing of a batch is kept by the model.

    Args:
        distill: The ``Distillation`` whose terms are compared.
        inputs: Images (N, 3, H, W) that the student will see.
        samples: Their data samples.
    """

    def __init__(
        self, distill: DistillationLike, inputs: Tensor, samples: list
    ) -> None:
        if distill.terms:
            guards.check_inputs(inputs)
        self.distill = distill
        self.inputs, self.samples = inputs, samples
        #: Of each term at this iteration; 0 where it is not active.
        self.factors: dict[str, float] = {
            name: term.factor(distill.clock)
            for name, term in distill.terms.items()
        }
        #: By term, until they are compared.
        self.teacher_features: dict[str, list[Tensor]] = {}

    @property
    def active(self) -> list[str]:
        """Names of the terms whose factor is not 0."""
        return [name for name, factor in self.factors.items() if factor]

    @property
    def sources(self) -> list[str]:
        """What is recorded of the student."""
        return self.distill.rois.with_sources(self.active)

    def run_teachers(self, after_student: bool) -> None:
        """Show the batch to the teachers of active terms.

        Args:
            after_student: Those that need RoIs which the student sampled,
                or the others.
        """
        distill = self.distill
        for name, teacher in distill.teachers.items():
            keys = [k for k in self.active if distill.teacher_of[k] == name]
            if keys and distill.rois.needed_by(keys) == after_student:
                with prefix_errors(', '.join(keys), f'teacher {name!r}'):
                    rois = distill.rois.read(keys)
                    found = teacher(self.inputs, self.samples, keys, rois)
                    self.teacher_features.update(found)

    def losses(self) -> dict[str, Tensor]:
        """Compare what was recorded; one scalar per term, ``loss_<name>``."""
        self.run_teachers(after_student=True)
        return {
            f'loss_{name}': self._compare(term)
            if name in self.teacher_features
            else graph_zero(term, like=self.inputs)
            for name, term in self.distill.terms.items()
        }

    def _compare(self, term: Term) -> Tensor:
        distill = self.distill
        # Given up here, so that it is gone once it has been compared.
        teacher_feature = self.teacher_features.pop(term.name)
        distill.teachers[distill.teacher_of[term.name]].wait_for(
            teacher_feature
        )
        source = distill.recorders[term.name]
        with prefix_errors(term.name, 'student'):
            student_feature = source.read()
        first = torch.is_grad_enabled() and not term.checked
        if first:
            student = term.weighted_levels(student_feature, 0)
            teacher = term.weighted_levels(teacher_feature, 1)
            guards.check_gradient(term.name, source.paths, student)
            guards.check_finite(
                term.name, student_feature=student, teacher_feature=teacher
            )
        loss = term(
            student_feature,
            teacher_feature,
            self.factors[term.name],
            partial(distill.clock.now, False),
        )
        if first:
            guards.check_finite(term.name, loss={0: loss})
            term.checked = True
        return loss
