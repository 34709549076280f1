"""Both maps of each pair of levels, with equal channels and grids."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmdistill_dense.functional.checks import check_weight

from ..hosts import FeatureSpec
from .alignment import (
    build_connector,
    build_teacher_connector,
    check_not_shared,
    keywords_of_connector,
    on_grid_of,
    pair_levels,
)
from .classes import SIDES, ClassSelection

#: Functions that return the optional keywords of a connector, by name.
Keywords = Mapping[str, Callable[[], Any]]
#: A function of the teacher's level and a map of the student.
Through = Callable[[int, Tensor], Tensor]


class AlignedLevels(nn.Module):
    """Pairs of levels, their weights and connectors; a base of ``Term``.

    Args:
        student: Levels of the student, from the dry run.
        teacher: Levels of the teacher.
        level_weights: One weight per pair of levels; default 1 each.
        grid: ``'teacher'`` or ``'student'``: which map keeps its size.

    Raises:
        ValueError: If the levels cannot be paired, or a setting does not fit.
    """

    #: Set by the subclass.
    classes: ClassSelection

    def __init__(
        self,
        student: list[FeatureSpec],
        teacher: list[FeatureSpec],
        level_weights: Sequence[float] | None,
        grid: str,
    ) -> None:
        super().__init__()
        if grid not in SIDES:
            raise ValueError(f'grid must be one of {SIDES}, got {grid!r}.')
        self.grid = grid
        self.student_specs, self.teacher_specs = student, teacher
        self.pairs = pair_levels(student, teacher)
        self.level_weights = self._level_weights(level_weights)

    def add_connectors(
        self,
        student_cfg: Any,
        teacher_cfg: Any,
        equal_channels: bool,
        through: Sequence[FeatureSpec] | None = None,
    ) -> None:
        """Build the connectors of both sides at every level.

        Args:
            student_cfg: Setting of the student's connector.
            teacher_cfg: Setting of the teacher's.
            equal_channels: Whether the loss needs as many channels of both.
            through: Levels of the teacher that the student's maps must fit
                instead of those that are compared.
        """
        fitted = self.teacher_specs if through is None else through
        #: Levels of the teacher that the student's connectors fit.
        self.fitted_specs = [fitted[j] for _, j in self.pairs]
        self.connectors = nn.ModuleList(
            self._build(student_cfg, i, j, equal_channels)
            if through is None
            else build_connector(
                student_cfg, self.student_specs[i], through[j]
            )
            for i, j in self.pairs
        )
        check_not_shared([*self.connectors])
        self.teacher_connectors = nn.ModuleList(
            build_teacher_connector(
                teacher_cfg,
                self.classes.selected('teacher', self.teacher_specs[j]),
            )
            for _, j in self.pairs
        )
        # Found once: signatures are slow to read.
        self._keywords = [
            [keywords_of_connector(one) for one in side]
            for side in (self.connectors, self.teacher_connectors)
        ]

    @property
    def connector_keywords(self) -> set[str]:
        """Optional keywords that a connector of either side takes."""
        return {k for side in self._keywords for names in side for k in names}

    def _build(self, cfg: Any, i: int, j: int, equal: bool) -> nn.Module:
        levels = self.student_specs[i], self.teacher_specs[j]
        specs = self.classes.specs(*levels, equal)
        return build_connector(cfg, *specs, equal)

    @property
    def channels(self) -> list[int]:
        """Channels of the teacher's levels, as they are compared."""
        return [
            self.classes.selected('teacher', spec).channels
            for spec in self.teacher_specs
        ]

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

    def compared_spec(self, pair_index: int) -> FeatureSpec:
        """Level whose grid the compared maps of a pair have."""
        i, j = self.pairs[pair_index]
        if self.grid == 'teacher':
            return self.teacher_specs[j]
        return self.student_specs[i]

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
        keywords: Keywords | None = None,
        through: Through | None = None,
    ) -> dict[str, Tensor]:
        """Both maps of one pair of levels, resized to one grid.

        Args:
            pair_index: Index of the pair.
            student: The student's levels.
            teacher: The teacher's levels.
            image: Height and width of the batch, in pixels; ``None``: those
                of the dry run.
            keywords: Optional keywords of the connectors; ``None``: they use
                their defaults.
            through: Runs the student's map on through the teacher.
        """
        i, j = self.pairs[pair_index]
        s = self.classes.select('student', self.student_specs[i], student[i])
        t = self.classes.select('teacher', self.teacher_specs[j], teacher[j])
        given = keywords or {}
        s, t = (
            side[pair_index](
                x, **{k: given[k]() for k in names[pair_index] if k in given}
            )
            for side, names, x in zip(
                (self.connectors, self.teacher_connectors),
                self._keywords,
                (s, t),
                strict=True,
            )
        )
        if through is not None:
            s = through(j, s)
        if s.ndim == t.ndim == 4:
            sides = (s, self.student_specs[i]), (t, self.teacher_specs[j])
            if self.grid == 'teacher':
                s = on_grid_of(sides[1], sides[0], image)
            else:
                t = on_grid_of(sides[0], sides[1], image)
        return dict(student=s, teacher=t)
