"""What an interrupted training resumes from."""

from pathlib import Path

from mmdistill_dense.hooks.checkpoint_files import (
    check_resumable,
    newest_whole,
)


def resume_value(folder: Path) -> str | None:
    """Value of ``--resume`` for a training in a work dir.

    Args:
        folder: The work dir, which need not exist.

    Returns:
        ``'auto'`` if its last checkpoint is whole or there is none, the path
        of the newest whole one if it is not, None if none is.
    """
    try:
        check_resumable(folder, None)
    except ValueError:
        whole = newest_whole(folder)
        return str(whole) if whole else None
    return 'auto'
