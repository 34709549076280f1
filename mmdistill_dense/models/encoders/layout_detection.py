"""Detects the key layout of a checkpoint, and checks the configured one."""

import re
from collections.abc import Iterable, Mapping

from .layouts import LAYOUTS, Layout


def check_layout(
    keys: Iterable[str],
    name: str,
    what: str,
    layouts: Mapping[str, Layout] = LAYOUTS,
) -> None:
    """Check that a file has the layout of the config.

    Args:
        keys: Keys of the file, without a wrapper's prefix.
        name: Name of the expected layout.
        what: Name of the file, for messages.
        layouts: The layouts that are known, by name.

    Raises:
        ValueError: If the file has another layout, which is named, or none.
    """
    keys, layout = list(keys), layouts[name]
    detected = detect_layout(keys, layouts)
    # A file without its head may have no marker.
    headless = detected is None and _any_starts(keys, layout.backbone_prefix)
    if detected == name or headless:
        return
    starts = ', '.join(sorted({f'{k.partition(".")[0]}.*' for k in keys})[:8])
    guess = (
        f'It looks like layout {detected!r}: set teacher.layout={detected!r}.'
    )
    if not detected:
        guess = (
            f'It looks like none of {", ".join(layouts)}: rename its keys to '
            "'backbone.*' and 'head.<index>.*', which is layout 'openmmlab'."
        )
    raise ValueError(
        f'{what} is not of layout {name!r}: expected keys such as '
        f'{layout.marker}*, got {starts}. {guess}'
    )


def check_head(keys: Iterable[str], layout: Layout, what: str) -> None:
    """Refuse to drop a file's projection head unless the config says so.

    Keys of a projection head are numbered, as ``InstanceContrast`` saves
    them; ``head.fc.*`` and the like belong to a classifier.

    Args:
        keys: Keys of the file, without a wrapper's prefix.
        layout: Layout of the file; with head sizes of its own it passes.
        what: Name of the file, for messages.

    Raises:
        ValueError: If the file has a head and the layout has none.
    """
    pattern = re.compile(rf'{re.escape(layout.head_prefix)}\d+\.')
    if not layout.widths and any(pattern.match(key) for key in keys):
        raise ValueError(
            f'{what} has a projection head, {layout.head_prefix}<index>.*, '
            'which would be left out. Give it, teacher.head=dict('
            "widths=(4096, 256)) or [dict(type='Linear', ...), ...] with the "
            'sizes that it was trained with, or teacher.head=[] for none.'
        )


def detect_layout(
    keys: list[str], layouts: Mapping[str, Layout] = LAYOUTS
) -> str | None:
    """The first layout whose marker is among the keys, else ``None``."""
    markers = {name: layout.marker for name, layout in layouts.items()}
    names = (name for name in markers if _any_starts(keys, markers[name]))
    return next(names, None)


def _any_starts(keys: list[str], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in keys)
