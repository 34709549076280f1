"""What an interrupted call left of its trainings, made fit to go on."""

import errno
import re
from pathlib import Path

from mmdistill_dense.export.student import student_checkpoint

#: Of the checkpoints that are saved at intervals.
CHECKPOINT_NAME = re.compile(r'(iter|epoch)_\d+\.pth$')


def remove_corrupt_checkpoints(folder: Path) -> list[Path]:
    """Remove checkpoints that cannot be read, and return their paths.

    Mostly their writing was cut off; those without weights go, too.
    ``train.py --resume`` then goes on from the newest one that is left, or
    starts anew.

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
    cut = [path for path in found if not _readable(path)]
    for path in cut:
        path.unlink()
    left = [path for path in found if path not in cut]
    # MMEngine resumes from what this file names, and fails if it is gone.
    pointer = folder / 'last_checkpoint'
    if pointer.exists() and not Path(pointer.read_text().strip()).is_file():
        pointer.unlink()
        if left:
            pointer.write_text(str(left[-1].resolve()))
    return cut


def _iteration(path: Path) -> int:
    return int(path.stem.rpartition('_')[2])


def _readable(path: Path) -> bool:
    try:
        student_checkpoint(str(path))
    except ValueError:
        return False
    except OSError as error:  # torch looks before the begin of a short file
        if error.errno != errno.EINVAL:
            raise
        return False
    return True
