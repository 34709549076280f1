"""Names of the classes of two models."""

from collections.abc import Sequence
from typing import Any

from mmengine.visualization import Visualizer

Names = Sequence[str]


def names_of_run() -> Names:
    """Class names of the data set that MMEngine's Runner has built last.

    Empty if they are not known.
    """
    # Without an instance, get_current_instance would not release its lock.
    if not getattr(Visualizer, '_instance_dict', None):
        return []
    meta = Visualizer.get_current_instance().dataset_meta or {}
    return meta.get('classes') or []


def find_class(entry: int | str, side: str, names: Names) -> int:
    """Index of a class.

    Args:
        entry: Its name or index.
        side: ``'student'`` or ``'teacher'``.
        names: Names of that model's classes; empty if they are not known.

    Raises:
        ValueError: If it is a name that is not known.
    """
    if isinstance(entry, int):
        return entry
    if not names:
        source = dict(
            student='the data set of the run has no classes for its head',
            teacher='its checkpoint has no dataset_meta for its head',
        )
        raise ValueError(
            f'classes: {entry!r} cannot be found, as the names of the '
            f"{side}'s classes are not known: {source[side]}. Give indices: "
            'classes=dict(student=[...], teacher=[...]).'
        )
    if entry not in names:
        raise ValueError(
            f'classes: {entry!r} is no class of the {side}, which has '
            f'{listed(names)}.'
        )
    return list(names).index(entry)


def class_name(names: Names, index: int) -> str:
    """Name of a class, of the last score of a softmax too."""
    return names[index] if index < len(names) else 'background'


def listed(items: Sequence[Any]) -> str:
    """The first items, for messages."""
    shown = ', '.join(map(str, items[:8]))
    return f'{shown}, ...' if len(items) > 8 else shown
