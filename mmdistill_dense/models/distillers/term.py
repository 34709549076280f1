"""One term of a distillation: all levels of one pyramid, one loss."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..hosts import FeatureSpec
from ..losses.base import (
    LoadedTeacher,
    build_loss,
    keywords_of,
    member_or_default,
)
from .aligned_levels import AlignedLevels
from .alignment import split_connector
from .classes import ClassSelection
from .extras import extras_of_pair
from .loss_inputs import LossInputs
from .schedule import Clock, Schedule
from .share import Share, build_share


class Term(AlignedLevels):
    """Connectors and a loss, with a weight per level and a schedule.

    Args:
        name: Its name; the loss is logged as ``loss_<name>``.
        loss: Config of a registered loss; its ``loss_weight`` weights the
            whole term. Its interface is
            :class:`~mmdistill_dense.models.losses.DistillationLoss`.
        student: Levels of the student, from the dry run.
        teacher: Levels of the teacher.
        connector: Config of the student's connector, ``'none'`` or ``None``,
            see :func:`build_connector`; or ``dict(student=..., teacher=...)``.
        level_weights: One weight per pair of levels; default 1 each.
        schedule: Arguments of :class:`Schedule`.
        grid: ``'teacher'`` or ``'student'``: which map keeps its size; the
            other map is resized to it.
        classes: Classes of logits to compare, see :class:`ClassSelection`.
        through: Levels of what those modules of the teacher take that the
            student's maps run through; ``None``: there are none.
        share: Gradient of the term in relation to the task's, in place of a
            ``loss_weight``; see :class:`Share`.

    Raises:
        ValueError: If a setting does not fit.
    """

    def __init__(
        self,
        name: str,
        loss: dict,
        student: list[FeatureSpec],
        teacher: list[FeatureSpec],
        connector: dict | str | None = None,
        level_weights: Sequence[float] | None = None,
        schedule: dict | None = None,
        grid: str = 'teacher',
        classes: Sequence | Mapping | None = None,
        through: list[FeatureSpec] | None = None,
        share: float | Mapping | None = None,
    ) -> None:
        super().__init__(student, teacher, level_weights, grid)
        self.name = name
        self.schedule = Schedule(**(schedule or {}))
        own, others = split_connector(connector)
        self.classes = ClassSelection(classes, student, teacher, own)
        self.loss = build_loss(loss, self.channels)
        #: Optional keywords that the loss takes.
        self.keywords = keywords_of(self.loss)
        equal = member_or_default(self.loss, 'equal_channels')
        self.add_connectors(own, others, equal, through)
        weight = member_or_default(self.loss, 'loss_weight')
        self.share: Share | None = build_share(share, weight)
        #: Whether the first active step has been checked.
        self.checked = False

    @property
    def disabled(self) -> bool:
        """Whether a weight of 0 disables the term."""
        weight = member_or_default(self.loss, 'loss_weight')
        unshared = self.share is not None and not self.share.value
        return weight == 0 or unshared or not any(self.level_weights)

    def factor(self, clock: Clock) -> float:
        """Factor of the schedule now; 0 if the term is disabled."""
        if self.disabled:
            return 0.0
        if self.schedule.constant:
            return 1.0
        return self.schedule.factor(clock.now(self.schedule.by_epoch))

    @property
    def loaded(self) -> bool:
        """Whether the loss has loaded what it needs."""
        return member_or_default(self.loss, 'loaded')

    def load(self, like: Tensor, teacher: LoadedTeacher) -> None:
        """Load what the loss needs besides the two maps.

        Args:
            like: A parameter of the student, for device and dtype.
            teacher: The term's teacher, loaded.
        """
        self.loss.load(self.channels, like)
        member_or_default(self.loss, 'check_teacher')(self.name, teacher)

    @torch.no_grad()
    def try_maps(
        self,
        student: list[Tensor],
        teacher: list[Tensor],
        inputs: LossInputs | None = None,
    ) -> None:
        """Align and compare the maps of the dry runs.

        A loss that is not loaded yet is left out.
        """
        if self.loaded:
            self(student, teacher, inputs=inputs)
        else:
            for pair_index in range(len(self.pairs)):
                self._aligned(
                    pair_index, student, teacher, inputs or LossInputs()
                )

    def forward(
        self,
        student: list[Tensor],
        teacher: list[Tensor],
        factor: float = 1.0,
        inputs: LossInputs | None = None,
    ) -> Tensor:
        """Sum of the levels' losses, times ``factor``; a scalar.

        Args:
            student: The student's levels, with their graph.
            teacher: The teacher's levels, detached.
            factor: The schedule's factor of this step.
            inputs: What the loss may need besides; ``None``: as in the dry
                run.
        """
        inputs = inputs or LossInputs()
        expected = len(self.student_specs), len(self.teacher_specs)
        if (len(student), len(teacher)) != expected:
            raise RuntimeError(
                f'term {self.name!r}: the dry run recorded {expected[0]} '
                f'student and {expected[1]} teacher tensors, this step '
                f'recorded {len(student)} and {len(teacher)}. The modules '
                'recorded must be called equally often in every forward pass.'
            )
        losses: list[Tensor] = []
        divisors: list[Tensor] = []
        for pair_index, weight in enumerate(self.level_weights):
            if not weight:
                connector = self.connectors[pair_index]
                losses.append(graph_zero(connector, like=student[0]))
                continue
            value = self._level_loss(
                pair_index,
                self._aligned(pair_index, student, teacher, inputs),
                inputs,
            )
            if isinstance(value, tuple):
                value, divisor = value
                divisors.append(divisor)
            losses.append(weight * value)
        if any(True for _ in self.loss.parameters()):
            # For those of levels that are left out.
            losses.append(graph_zero(self.loss, like=losses[0]))
        total = torch.stack(losses).sum()
        if divisors:
            divisor = torch.stack(divisors).sum()
            total = total / torch.where(divisor > 0, divisor, 1)
        return factor * total

    def _aligned(
        self,
        pair_index: int,
        student: list[Tensor],
        teacher: list[Tensor],
        inputs: LossInputs,
    ) -> dict[str, Tensor]:
        return self.align(
            pair_index,
            student,
            teacher,
            inputs.image,
            dict(
                generator=lambda: self._draw(pair_index, inputs, 'connector'),
                extras=lambda: self._extras(pair_index, inputs),
            ),
            inputs.through,
        )

    def _level_loss(
        self, pair_index: int, maps: dict[str, Tensor], inputs: LossInputs
    ) -> Tensor | tuple[Tensor, Tensor]:
        level = self.pairs[pair_index][1]
        spec = self.compared_spec(pair_index)
        optional = dict(
            level=lambda: level,
            iteration=lambda: inputs.iteration,
            targets=lambda: inputs.targets(spec),
            assigned=lambda: inputs.assigned_to(spec, maps['student']),
            extras=lambda: self._extras(pair_index, inputs),
            generator=lambda: self._draw(pair_index, inputs, 'loss'),
        )
        keywords = {name: optional[name]() for name in self.keywords}
        scores = self.teacher_specs[level].scores
        if scores and member_or_default(self.loss, 'per_prior'):
            maps = {side: scores.split_priors(x) for side, x in maps.items()}
        value = self.loss(**maps, **keywords)
        pair = isinstance(value, tuple)
        parts = value if pair else (value,)
        if len(parts) != 1 + pair or any(part.ndim for part in parts):
            shapes = ', '.join(str(tuple(part.shape)) for part in parts)
            raise ValueError(
                f'{type(self.loss).__name__} returned {shapes}, expected a '
                'scalar, or a sum and its divisor: reduce it inside the loss.'
            )
        return value

    def _extras(
        self, pair_index: int, inputs: LossInputs
    ) -> dict[str, dict[str, Tensor]]:
        return extras_of_pair(inputs.extras, self.pairs[pair_index])

    def _draw(
        self, pair_index: int, inputs: LossInputs, user: str
    ) -> torch.Generator:
        """The random generator of a level in this step."""
        level = self.pairs[pair_index][1]
        return inputs.generator(self.name, level, user)


def graph_zero(module: nn.Module, like: Tensor) -> Tensor:
    """A zero that depends on all parameters of a module.

    Each parameter gets a gradient of zeros, so that data parallel training
    does not have to search for unused parameters.
    """
    parts = [p.flatten()[:0].sum() for p in module.parameters()]
    return torch.stack(parts).sum() if parts else like.new_zeros(())
