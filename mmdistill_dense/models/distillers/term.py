"""One term of a distillation: all levels of one pyramid, one loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmdistill_dense.functional.checks import check_weight
from mmdistill_dense.registry import MODELS

from ..hosts import FeatureSpec
from ..losses.base import LoadedTeacher, keywords_of, member_or_default
from .alignment import build_connector, on_grid_of, pair_levels
from .classes import SIDES, ClassSelection
from .loss_inputs import LossInputs
from .schedule import Clock, Schedule


class Term(nn.Module):
    """Connectors and a loss, with a weight per level and a schedule.

    Args:
        name: Its name; the loss is logged as ``loss_<name>``.
        loss: Config of a registered loss; its ``loss_weight`` weights the
            whole term. Its interface is
            :class:`~mmdistill_dense.models.losses.DistillationLoss`.
        student: Levels of the student, from the dry run.
        teacher: Levels of the teacher.
        connector: Config of a connector, ``'none'`` or ``None``, see
            :func:`build_connector`.
        level_weights: One weight per pair of levels; default 1 each.
        schedule: Arguments of :class:`Schedule`.
        grid: ``'teacher'`` or ``'student'``: which map keeps its size; the
            other map is resized to it.
        classes: Classes of logits to compare, see :class:`ClassSelection`.

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
    ) -> None:
        super().__init__()
        if grid not in SIDES:
            raise ValueError(f'grid must be one of {SIDES}, got {grid!r}.')
        self.name = name
        self.grid = grid
        self.schedule = Schedule(**(schedule or {}))
        self.student_specs, self.teacher_specs = student, teacher
        self.pairs = pair_levels(student, teacher)
        self.level_weights = self._level_weights(level_weights)
        self.loss = MODELS.build(loss)
        #: Optional keywords that the loss takes.
        self.keywords = keywords_of(self.loss)
        self.classes = ClassSelection(classes, student, teacher, connector)
        self.connectors = nn.ModuleList(
            self._build_connector(connector, *pair) for pair in self.pairs
        )
        #: Whether the first active step has been checked.
        self.checked = False

    def _build_connector(self, cfg: Any, i: int, j: int) -> nn.Module:
        levels = self.student_specs[i], self.teacher_specs[j]
        equal_channels = member_or_default(self.loss, 'equal_channels')
        specs = self.classes.specs(*levels, equal_channels)
        return build_connector(cfg, *specs, equal_channels)

    def _level_weights(self, weights: Sequence[float] | None) -> list[float]:
        count = len(self.pairs)
        if weights is None:
            return [1.0] * count
        if len(weights) != count:
            raise ValueError(
                f'level_weights has {len(weights)} entries, but {count} '
                'levels are compared.'
            )
        return [check_weight('level_weights', w) for w in weights]

    @property
    def disabled(self) -> bool:
        """Whether a weight of 0 disables the term."""
        weight = member_or_default(self.loss, 'loss_weight')
        return weight == 0 or not any(self.level_weights)

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
        channels = [
            self.classes.selected('teacher', spec).channels
            for spec in self.teacher_specs
        ]
        self.loss.load(channels, like)
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
                self.align(pair_index, student, teacher)

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
        losses = [
            weight
            * self._level_loss(
                pair_index,
                self.align(pair_index, student, teacher, inputs.image),
                inputs,
            )
            if weight
            else graph_zero(self.connectors[pair_index], like=student[0])
            for pair_index, weight in enumerate(self.level_weights)
        ]
        return factor * torch.stack(losses).sum()

    def compared_spec(self, pair_index: int) -> FeatureSpec:
        """Level whose grid the compared maps of a pair have."""
        i, j = self.pairs[pair_index]
        if self.grid == 'teacher':
            return self.teacher_specs[j]
        return self.student_specs[i]

    def _level_loss(
        self, pair_index: int, maps: dict[str, Tensor], inputs: LossInputs
    ) -> Tensor:
        level = self.pairs[pair_index][1]
        spec = self.compared_spec(pair_index)
        optional = dict(
            level=lambda: level,
            iteration=lambda: inputs.iteration,
            targets=lambda: inputs.targets(spec),
            assigned=lambda: inputs.assigned_to(spec, maps['student']),
        )
        keywords = {name: optional[name]() for name in self.keywords}
        scores = self.teacher_specs[level].scores
        if scores and member_or_default(self.loss, 'per_prior'):
            maps = {side: scores.split_priors(x) for side, x in maps.items()}
        value = self.loss(**maps, **keywords)
        if value.ndim:
            raise ValueError(
                f'{type(self.loss).__name__} returned {tuple(value.shape)}, '
                'expected a scalar: reduce it inside the loss.'
            )
        return value

    def weighted_levels(
        self, features: list[Tensor], side: str
    ) -> dict[int, Tensor]:
        """Levels of one side with a weight above 0, by index.

        Args:
            features: All levels of the side.
            side: ``'student'`` or ``'teacher'``.
        """
        weighted = zip(self.pairs, self.level_weights, strict=True)
        index = SIDES.index(side)
        used = [pair[index] for pair, weight in weighted if weight]
        return {k: features[k] for k in used}

    def align(
        self,
        pair_index: int,
        student: list[Tensor],
        teacher: list[Tensor],
        image: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Both maps of one pair of levels, resized to one grid."""
        i, j = self.pairs[pair_index]
        s = self.classes.select('student', self.student_specs[i], student[i])
        t = self.classes.select('teacher', self.teacher_specs[j], teacher[j])
        s = self.connectors[pair_index](s)
        if s.ndim == t.ndim == 4:
            sides = (s, self.student_specs[i]), (t, self.teacher_specs[j])
            if self.grid == 'teacher':
                s = on_grid_of(sides[1], sides[0], image)
            else:
                t = on_grid_of(sides[0], sides[1], image)
        return dict(student=s, teacher=t)


def graph_zero(module: nn.Module, like: Tensor) -> Tensor:
    """A zero that depends on all parameters of a module.

    Each parameter gets a gradient of zeros, so that data parallel training
    does not have to search for unused parameters.
    """
    parts = [p.flatten()[:0].sum() for p in module.parameters()]
    return torch.stack(parts).sum() if parts else like.new_zeros(())
