"""Classes on which the logits of two models are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..hosts import ClassScores, FeatureSpec
from .class_names import Names, class_name, find_class, listed, names_of_run

SIDES = ('student', 'teacher')
Entry = int | str


class ClassSelection:
    """Classes of both models that a term compares.

    Args:
        classes: Names or indices, the same for both models or
            ``dict(student=[...], teacher=[...])``; ``None``: all.
        student: The student's levels.
        teacher: The teacher's levels.
        connector: The term's ``connector``. One that is given may turn any
            classes into others, so nothing is then compared.

    Raises:
        ValueError: If ``classes`` has none of these forms, or an index is
            none of the model's.
    """

    def __init__(
        self,
        classes: Any,
        student: Sequence[FeatureSpec],
        teacher: Sequence[FeatureSpec],
        connector: dict | str | None = None,
    ) -> None:
        self.given = None if classes is None else _by_side(classes)
        first = [
            next((spec for spec in specs if spec.scores), specs[0])
            for specs in (student, teacher)
        ]
        self._counts = {
            side: scores_of(spec).classes
            for side, spec in zip(SIDES, first, strict=True)
        }
        self._by_class = connector in (None, 'none')
        logits = all(spec.scores for spec in first)
        #: Whether names are still to be looked up, or compared.
        self._pending = bool(self.given) or (logits and self._by_class)
        self._index: dict[str, Tensor] = {}
        for side, entries in (self.given or {}).items():
            self._check_indices(side, entries)
            # Any index for a name, until it is looked up in compare_names.
            index = [e if isinstance(e, int) else 0 for e in entries]
            self._index[side] = torch.tensor(index)

    def __str__(self) -> str:
        sides = [listed(entries) for entries in (self.given or {}).values()]
        return ' <- '.join(dict.fromkeys(sides)) or 'all'

    def _check_indices(self, side: str, entries: Sequence[Entry]) -> None:
        count = self._counts[side]
        for entry in entries:
            if isinstance(entry, int) and not 0 <= entry < count:
                raise ValueError(
                    f'classes: {entry} is no class of the {side}, which has '
                    f'{count}: expected 0 to {count - 1}.'
                )

    def specs(
        self,
        student: FeatureSpec,
        teacher: FeatureSpec,
        equal_channels: bool = True,
    ) -> tuple[FeatureSpec, FeatureSpec]:
        """Two levels after the selection.

        Args:
            student: A level of the student.
            teacher: A level of the teacher.
            equal_channels: Whether the loss needs as many channels of both.

        Raises:
            ValueError: If these are classifiers of other numbers of priors
                or classes, with no connector given.
        """
        student = self.selected('student', student)
        teacher = self.selected('teacher', teacher)
        if self._by_class and equal_channels:
            check_same_scores(student, teacher)
        return student, teacher

    def selected(self, side: str, spec: FeatureSpec) -> FeatureSpec:
        """A level of one side after the selection."""
        if self.given is None:
            return spec
        kept = ClassScores(len(self.given[side]), scores_of(spec).priors)
        channels = kept.classes * kept.priors
        shape = (spec.shape[0], channels, *spec.shape[2:])
        return replace(spec, shape=shape, scores=kept)

    def select(self, side: str, spec: FeatureSpec, logits: Tensor) -> Tensor:
        """Logits (N, A C, ...) of the selected classes: (N, A K, ...)."""
        if self.given is None:
            return logits
        index = self._index[side]
        if index.device != logits.device:
            index = self._index[side] = index.to(logits.device)
        scores = scores_of(spec)
        by_prior = logits.unflatten(1, (scores.priors, scores.classes))
        return by_prior.index_select(2, index).flatten(1, 2)

    def compare_names(self, teacher: Names) -> None:
        """Look up the given names, and compare those of logits, once.

        Args:
            teacher: Names of the teacher's classes; empty if not known.

        Raises:
            ValueError: If a given name cannot be found, or if all classes are
                compared and those of equal index have other names.
        """
        if not self._pending:
            return
        self._pending = False
        known = {
            side: names
            for side, names in (
                ('student', names_of_run()),
                ('teacher', teacher),
            )
            # A head of softmaxes has a score for the background, too.
            if names and self._counts[side] - len(names) in (0, 1)
        }
        for side, entries in (self.given or {}).items():
            index = [find_class(e, side, known.get(side, [])) for e in entries]
            self._index[side] = torch.tensor(index)
        missing = [side for side in SIDES if side not in known]
        if missing:
            print_log(
                f'The class names of the {" and the ".join(missing)} are not '
                'known (from the data set of the run, and the meta of the '
                "teacher's checkpoint): that student and teacher have the "
                'same classes in the same order is not checked.',
                logger='current',
            )
            return
        self._compare(known)

    def _compare(self, known: Mapping[str, Sequence[str]]) -> None:
        student, teacher = (
            [
                class_name(known[side], int(i))
                for i in self._index.get(side, range(self._counts[side]))
            ]
            for side in SIDES
        )
        differing = [
            f'{a!r} <- {b!r}'
            for a, b in zip(student, teacher, strict=True)
            if a != b
        ]
        if not differing:
            return
        message = (
            f'{len(differing)} of {len(student)} classes of the student are '
            'compared with one of another name of the teacher: '
            f'{listed(differing)}.'
        )
        if self.given is not None:
            print_log(message, logger='current')
            return
        raise ValueError(
            f'{message} Give the names in common as classes=[...], or where '
            'only names differ the indices, classes=list(range('
            f'{len(student)})).'
        )


def scores_of(spec: FeatureSpec) -> ClassScores:
    """What the channels of a level are; classes if nothing is known."""
    return spec.scores or ClassScores(spec.channels)


def check_same_scores(student: FeatureSpec, teacher: FeatureSpec) -> None:
    """Check that two classifiers have the same channels.

    Raises:
        ValueError: If the numbers of priors or of classes differ.
    """
    s, t = student.scores, teacher.scores
    if s is None or t is None or s == t:
        return
    if s.priors != t.priors:
        raise ValueError(
            f'the classifier of the student has {s.priors} priors per '
            f'position and that of the teacher {t.priors}, expected equally '
            "many. Record maps, such as 'neck', or give both heads the same "
            'priors.'
        )
    raise ValueError(
        f'the classifier of the student has {s.classes} classes and that of '
        f'the teacher {t.classes}, expected equally many. Compare those in '
        'common: classes=[names or indices], or classes=dict(student=[...], '
        'teacher=[...]).'
    )


def _by_side(classes: Any) -> dict[str, list[Entry]]:
    sides = classes
    if isinstance(classes, (list, tuple)):
        sides = dict.fromkeys(SIDES, classes)
    if (
        isinstance(sides, Mapping)
        and set(sides) == set(SIDES)
        and all(map(_are_entries, sides.values()))
        and len(sides['student']) == len(sides['teacher'])
    ):
        return {side: list(sides[side]) for side in SIDES}
    raise ValueError(
        "classes must be names or indices, each once, ['car', 'road'] or "
        '[0, 3], or dict(student=[...], teacher=[...]) of equally many, got '
        f'{classes!r}.'
    )


def _are_entries(entries: Any) -> bool:
    return (
        isinstance(entries, (list, tuple))
        and 0 < len(entries) == len(set(map(repr, entries)))
        and all(type(entry) in (int, str) for entry in entries)
    )
