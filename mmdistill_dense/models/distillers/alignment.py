"""Pairs of student and teacher levels, and the connectors between them."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmdistill_dense.functional import resample_to
from mmdistill_dense.registry import MODELS

from ..hosts import FeatureSpec

Specs = list[FeatureSpec]
#: Optional keywords of a connector, besides the map.
CONNECTOR_KEYWORDS = ('generator', 'extras')


def pair_levels(student: Specs, teacher: Specs) -> list[tuple[int, int]]:
    """Pair the levels of two pyramids.

    If all strides agree, levels are paired in order. Otherwise levels of
    equal stride are paired and the others left out. If no stride is shared,
    equally many levels are paired in order, and resized later.

    Returns:
        Pairs (student level, teacher level), at least one.

    Raises:
        ValueError: If the levels cannot be paired.
    """
    student_strides, teacher_strides = _strides(student), _strides(teacher)
    if student_strides == teacher_strides:
        return [(i, i) for i in range(len(student))]
    distinct = len(set(student_strides)) == len(student_strides) and len(
        set(teacher_strides)
    ) == len(teacher_strides)
    shared = [
        s for s in student_strides if s is not None and s in teacher_strides
    ]
    if distinct and shared:
        return [
            (student_strides.index(s), teacher_strides.index(s))
            for s in shared
        ]
    maps = None not in student_strides and None not in teacher_strides
    if maps and len(student) == len(teacher):
        return [(i, i) for i in range(len(student))]
    raise ValueError(
        f'{len(student)} student levels ({_describe(student)}) cannot be '
        f'aligned with {len(teacher)} teacher levels ({_describe(teacher)}). '
        'Record levels of equal stride, or equally many, on both sides; '
        'tensors that are not maps (N, C, H, W) must have the same shape.'
    )


def _strides(specs: Specs) -> list[tuple[float, float] | None]:
    return [spec.stride for spec in specs]


def _describe(specs: Specs) -> str:
    return '; '.join(map(str, specs))


def split_connector(cfg: Any) -> tuple[Any, Any]:
    """Settings of the student's and of the teacher's connector.

    Args:
        cfg: Setting ``connector`` of a term: that of the student, or
            ``dict(student=..., teacher=...)``.
    """
    if isinstance(cfg, Mapping) and cfg and set(cfg) <= {'student', 'teacher'}:
        return cfg.get('student'), cfg.get('teacher')
    return cfg, None


def build_teacher_connector(cfg: Any, teacher: FeatureSpec) -> nn.Module:
    """Build the connector of a teacher level, which keeps its channels.

    Args:
        cfg: Config of a registered connector; ``'none'`` or ``None``: the
            identity.
        teacher: The teacher's level.

    Raises:
        ValueError: If ``cfg`` is none of these, or the connector would be
            trained.
    """
    if cfg in (None, 'none'):
        return nn.Identity()
    connector = build_connector(cfg, teacher, teacher)
    if any(True for _ in connector.parameters()):
        raise ValueError(
            f'connector: {type(connector).__name__} on the side of the '
            'teacher has trained parameters, so the teacher would follow the '
            'student. Give one without, such as mmdistill_dense.NormConnector,'
            ' or write it for the student: connector=dict(student=...).'
        )
    return connector


def keywords_of_connector(connector: nn.Module) -> list[str]:
    """Which of :data:`CONNECTOR_KEYWORDS` a connector takes."""
    taken = inspect.signature(connector.forward).parameters
    return [name for name in CONNECTOR_KEYWORDS if name in taken]


def check_not_shared(connectors: Sequence[nn.Module]) -> None:
    """Check that no connector with parameters stands at two levels.

    Raises:
        ValueError: If one does.
    """
    trained = [c for c in connectors if any(True for _ in c.parameters())]
    if len({id(connector) for connector in trained}) < len(trained):
        raise ValueError(
            f'connector: one {type(trained[0]).__name__} is given for '
            'several levels, expected one for each. Give its config, '
            'dict(type=...), from which it is built at every level.'
        )


def build_connector(
    cfg: dict | str | None,
    student: FeatureSpec,
    teacher: FeatureSpec,
    equal_channels: bool = True,
) -> nn.Module:
    """Build the connector from a student level to the teacher's channels.

    Args:
        cfg: Config of a registered connector, built at every level;
            ``'none'``: the identity; ``None``: a 1x1 convolution if channels
            differ and may not, else the identity.
        student: The student's level.
        teacher: The teacher's level.
        equal_channels: Whether the loss needs as many channels on both sides.

    Raises:
        ValueError: If ``cfg`` is none of these, or an identity whose channels
            differ and may not.
    """
    differ = equal_channels and student.channels != teacher.channels
    if cfg is None:
        if not differ or student.stride is None:
            return nn.Identity()
        cfg = dict(type='mmdistill_dense.ConvConnector')
    if cfg == 'none':
        connector: nn.Module = nn.Identity()
    elif isinstance(cfg, dict) and 'type' in cfg:
        sizes = dict(
            in_channels=student.channels, out_channels=teacher.channels
        )
        connector = MODELS.build(cfg, default_args=sizes)
    else:
        raise ValueError(
            'connector must be None (a 1x1 convolution where channels '
            "differ), 'none' (no connector), dict(type=...), or "
            f'dict(student=..., teacher=...) of these, got {cfg!r}.'
        )
    if differ and isinstance(connector, nn.Identity):
        raise ValueError(
            f'connector={cfg!r} changes nothing, but the student has '
            f'{student.channels} channels and the teacher '
            f'{teacher.channels}, expected equally many. Leave connector '
            'out for a 1x1 convolution, or record other modules.'
        )
    return connector


def on_grid_of(
    target: tuple[Tensor, FeatureSpec],
    moved: tuple[Tensor, FeatureSpec],
    image: Sequence[int] | None,
) -> Tensor:
    """A map on the grid of another one, so that cells show the same pixels.

    Args:
        target: The map (N, C, H, W) whose grid is kept, and its level.
        moved: The map that gets this grid, and its level.
        image: Height and width of the batch, in pixels; ``None``: those of
            the dry run.

    Raises:
        RuntimeError: If the grids differ, and of one it is not known which
            pixels its cells cover.
    """
    (kept, kept_spec), (feature, spec) = target, moved
    grid, own = kept.shape[-2:], feature.shape[-2:]
    if 'unknown' in (kept_spec.coverage, spec.coverage):
        if grid == own:
            return feature
        raise RuntimeError(_unknown_pixels(kept_spec, spec))
    step = [
        a / b
        for a, b in zip(
            kept_spec.cell_size(grid, image),
            spec.cell_size(own, image),
            strict=True,
        )
    ]
    return resample_to(feature, grid, (step[0], step[1]))


def _unknown_pixels(*specs: FeatureSpec) -> str:
    unknown = next(s for s in specs if s.coverage == 'unknown')
    return (
        f'levels of other sizes, {_describe(list(specs))}, cannot be resized '
        'to one grid, as images of other sizes show no constant stride that '
        f'is a whole number for {unknown}: the model pads, crops or resizes '
        'them inside. Set input_size to a multiple of its stride, record '
        'another module, or take mmdistill_dense.EncoderTeacher with '
        'multiple=.'
    )
