"""Further recorded tensors of a term, paired like its levels."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..hosts import FeatureSpec
from .classes import SIDES

#: Levels by name of the extra and side.
Extras = Mapping[str, Mapping[str, Sequence[Tensor]]]


def extras_of_pair(
    extras: Extras, pair: Sequence[int]
) -> dict[str, dict[str, Tensor]]:
    """Tensors of one pair of levels, by name and side.

    Args:
        extras: All levels.
        pair: Index of the student's level, and of the teacher's.
    """
    index = dict(zip(SIDES, pair, strict=True))
    return {
        name: {side: levels[index[side]] for side, levels in sides.items()}
        for name, sides in extras.items()
    }


def check_extras(
    extras: Mapping[str, Mapping[str, Sequence[FeatureSpec]]],
    needed: bool,
    counts: Mapping[str, int],
    compared: Sequence[tuple[Sequence[int], FeatureSpec]],
) -> None:
    """Check that extras fit the levels of their term.

    Args:
        extras: Levels of each extra by side.
        needed: Whether the loss or a connector takes ``extras``.
        counts: Number of recorded levels by side.
        compared: Each pair of levels that is compared, and the level that
            has the grid of the compared maps.

    Raises:
        ValueError: If they are not taken or not given, or if an extra has
            another number of levels or another stride.
    """
    if needed and not extras:
        raise ValueError(
            "the loss or a connector needs 'extras', but the term records "
            "none: extras=dict(name=dict(teacher='module'))."
        )
    if extras and not needed:
        raise ValueError(
            f'extras {sorted(extras)} would be recorded for nothing: no '
            "forward of the loss or a connector names 'extras'."
        )
    for name, sides in extras.items():
        for side, specs in sides.items():
            where = f'extras, {name!r} of the {side}'
            if len(specs) != counts[side]:
                raise ValueError(
                    f'{where}: {len(specs)} levels, expected as many as the '
                    f'term records of the {side}, {counts[side]}.'
                )
            for pair, spec in compared:
                own = specs[pair[SIDES.index(side)]]
                if own.stride != spec.stride:
                    raise ValueError(
                        f'{where}: {own}, expected the stride of the compared '
                        f'maps, {spec}. Extras are not resized: record maps '
                        'of this stride, or set grid.'
                    )
