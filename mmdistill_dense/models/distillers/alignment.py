"""Which student level goes with which teacher level, and through what."""

from torch import nn

from mmdistill_dense.registry import MODELS

from ..hosts import FeatureSpec

Specs = list[FeatureSpec]


def pair_levels(student: Specs, teacher: Specs) -> list[tuple[int, int]]:
    """Pair the levels of two pyramids.

    Equal strides in equal order go together one by one. Otherwise levels of
    equal stride are paired and the others left out. Where no stride is
    shared, equally many levels are paired in order and resized.

    Returns:
        Pairs (student level, teacher level), at least one.

    Raises:
        ValueError: If there is no such pairing.
    """
    ours, theirs = _strides(student), _strides(teacher)
    if ours == theirs:
        return [(i, i) for i in range(len(student))]
    distinct = len(set(ours)) == len(ours) and len(set(theirs)) == len(theirs)
    shared = [s for s in ours if s is not None and s in theirs]
    if distinct and shared:
        return [(ours.index(s), theirs.index(s)) for s in shared]
    maps = None not in ours and None not in theirs
    if maps and len(student) == len(teacher):
        return [(i, i) for i in range(len(student))]
    raise ValueError(
        f'{len(student)} student levels ({_describe(student)}) cannot be '
        f'aligned with {len(teacher)} teacher levels ({_describe(teacher)}). '
        'Record levels of equal stride, or equally many, on both sides; '
        'what is not a map (N, C, H, W) must have the same shape on both.'
    )


def _strides(specs: Specs) -> list[tuple[float, float] | None]:
    return [spec.stride for spec in specs]


def _describe(specs: Specs) -> str:
    return '; '.join(map(str, specs))


def build_connector(
    cfg: dict | None, student: FeatureSpec, teacher: FeatureSpec
) -> nn.Module:
    """Build what brings one student level to the teacher's channels.

    Args:
        cfg: Config of a registered connector, built at every level;
            ``None``: a 1x1 convolution where channels differ, else nothing.
        student: The student's level.
        teacher: The teacher's level.
    """
    if cfg is None:
        if student.channels == teacher.channels or student.stride is None:
            return nn.Identity()
        cfg = dict(type='mmdistill_dense.ConvConnector')
    sizes = dict(in_channels=student.channels, out_channels=teacher.channels)
    return MODELS.build(cfg, default_args=sizes)
