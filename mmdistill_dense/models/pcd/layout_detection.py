"""Is a file of the layout that it is said to be?"""

import re
from collections.abc import Iterable

from .layouts import LAYOUTS, Layout


def check_layout(keys: Iterable[str], name: str, what: str) -> None:
    """Refuse a file that is of another layout than it is said to be.

    Args:
        keys: Its keys, without a wrapper's prefix.
        name: Name of the layout that it should have.
        what: Which file it is, for messages.

    Raises:
        ValueError: If it is of another one, which is named, or of none.
    """
    keys, layout = list(keys), LAYOUTS[name]
    found = detect_layout(keys)
    # Without its head, a file may have no mark.
    headless = found is None and _any_starts(keys, layout.encoder)
    if found == name or headless:
        return
    starts = ', '.join(sorted({f'{k.partition(".")[0]}.*' for k in keys})[:8])
    guess = f'It looks like layout {found!r}: set teacher.layout={found!r}.'
    if not found:
        guess = (
            f'It looks like none of {", ".join(LAYOUTS)}: rename its keys to '
            "'backbone.*' and 'head.<index>.*', which is layout 'openmmlab'."
        )
    raise ValueError(
        f'{what} is not of layout {name!r}: expected keys such as '
        f'{layout.marker}*, got {starts}. {guess}'
    )


def check_head(keys: Iterable[str], layout: Layout, what: str) -> None:
    """Refuse to leave out a projection head without having been told.

    Its keys are numbered, as ``InstanceContrast`` saves them; ``head.fc.*``
    and the like are of a classifier.

    Args:
        keys: Those of the file, without a wrapper's prefix.
        layout: Layout of the file; one that tells the head's sizes is fine.
        what: Which file it is, for messages.

    Raises:
        ValueError: If the file has a head and the layout has not.
    """
    pattern = re.compile(rf'{re.escape(layout.head)}\d+\.')
    if not layout.widths and any(pattern.match(key) for key in keys):
        raise ValueError(
            f'{what} has a projection head, {layout.head}<index>.*, which '
            'would be left out. Give it, teacher.head=dict(widths=(4096, '
            "256)) or [dict(type='Linear', ...), ...] with the sizes that it "
            'was trained with, or teacher.head=[] for none.'
        )


def detect_layout(keys: list[str]) -> str | None:
    """The layout whose mark is in a file; ``None`` where no mark is."""
    markers = {name: layout.marker for name, layout in LAYOUTS.items()}
    found = (name for name in markers if _any_starts(keys, markers[name]))
    return next(found, None)


def _any_starts(keys: list[str], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in keys)
