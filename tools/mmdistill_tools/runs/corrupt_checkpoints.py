"""Checkpoints that an interrupted training has left corrupt."""

import errno
import re
from pathlib import Path

from mmdistill_dense.export.student import student_checkpoint

#: File names of the checkpoints that are saved at intervals.
CHECKPOINT_NAME = re.compile(r'(iter|epoch)_\d+\.pth$')


def remove_corrupt_checkpoints(folder: Path) -> list[Path]:
    """Remove checkpoints that cannot be read, and return their paths.

    Most of them were interrupted while being written; files without weights
    are removed, too. ``train.py --resume`` then resumes from the newest
    readable checkpoint, or starts from scratch.

    Args:
        folder: Work dir of a training, which need not exist.
    """
    found = sorted(
        (
            path
            for path in folder.glob('*.pth')
            if CHECKPOINT_NAME.match(path.name)
        ),
        key=_iteration,
    )
    cut = [path for path in found if not is_readable(path)]
    for path in cut:
        path.unlink()
    left = [path for path in found if path not in cut]
    # MMEngine resumes from the file named here, and fails if it is missing.
    pointer = folder / 'last_checkpoint'
    if pointer.exists() and not Path(pointer.read_text().strip()).is_file():
        pointer.unlink()
        if left:
            pointer.write_text(str(left[-1].resolve()))
    return cut


def _iteration(path: Path) -> int:
    return int(path.stem.rpartition('_')[2])


def is_readable(path: Path) -> bool:
    """Whether a checkpoint exists and its weights can be read."""
    if not path.is_file():
        return False
    try:
        student_checkpoint(str(path))
    except ValueError:
        return False
    except OSError as error:  # torch seeks before the start of a short file
        if error.errno != errno.EINVAL:
            raise
        return False
    return True
