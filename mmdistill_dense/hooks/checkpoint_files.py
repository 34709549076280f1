"""Checkpoint files: whole or not at all, and which of them can be read."""

import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from mmengine.fileio import LocalBackend, register_backend

#: Name of the backend, for ``backend_args``.
ATOMIC_BACKEND = 'mmdistill_dense.local'
#: File names of the checkpoints that are saved at intervals.
CHECKPOINT_NAME = re.compile(r'(iter|epoch)_(\d+)\.pth$')
#: Name of the file with the path of the newest checkpoint.
POINTER = 'last_checkpoint'


@register_backend(ATOMIC_BACKEND)
class AtomicLocalBackend(LocalBackend):
    """Local files that are written beside their place and then renamed.

    A process that is killed, or a full disk, leaves what was there before.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file.

        Raises:
            OSError: If they cannot be written; what was there is unchanged.
        """
        path = Path(filepath)
        unfinished = path.with_name(f'{path.name}.unfinished')
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open('wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f'{path} could not be saved ({error.strerror}); the files '
                'that were saved before are unchanged. Make room, or choose '
                'another folder, and resume from the last one',
            ) from error

    def put_text(
        self, obj: str, filepath: str | Path, encoding: str = 'utf-8'
    ) -> None:
        """Write text to a file, see :meth:`put`."""
        self.put(obj.encode(encoding), filepath)


class DeferredRemoval:
    """File backend that removes files only when it is called to.

    Args:
        backend: The backend that does the rest, and removes them.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._waiting: list[tuple[Any, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._waiting.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        self._waiting.append((self._backend.rmtree, path))

    def remove_all_but(self, kept: list[str | None]) -> None:
        """Remove what was to be removed, without the ``kept`` paths."""
        for remove, path in self._waiting:
            if path not in kept:
                remove(path)


def checkpoint_problem(path: Path) -> str | None:
    """Why a checkpoint cannot be read, or None if it is whole.

    All bytes are read, and compared with the checksums in the file.

    Args:
        path: A local file, which need not exist.
    """
    if not path.is_file():
        return 'it does not exist'
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            try:
                changed = archive.testzip()
            except (zipfile.BadZipFile, OSError) as error:
                return str(error)
        return f'its entry {changed} is corrupt' if changed else None
    try:  # the format of torch 1.5 and before has no checksums
        torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, OSError) as error:
        return str(error).partition('\n')[0] or 'it is empty'
    return None


def saved_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints that were saved at intervals, the newest first."""
    found = [p for p in folder.glob('*.pth') if CHECKPOINT_NAME.match(p.name)]
    return sorted(found, key=lambda p: int(CHECKPOINT_NAME.match(p.name)[2]))[
        ::-1
    ]


def newest_whole(folder: Path) -> Path | None:
    """The newest checkpoint that can be read, or None."""
    return next(
        (p for p in saved_checkpoints(folder) if not checkpoint_problem(p)),
        None,
    )


def check_resumable(work_dir: Path, given: str | None) -> None:
    """Check the local checkpoint that a training would resume from.

    Args:
        work_dir: Folder of the training.
        given: Path of the checkpoint; None for that in ``last_checkpoint``.

    Raises:
        ValueError: If it cannot be read; the message names the newest one
            that can, and how to resume from it. Nothing is changed.
    """
    if given is not None and '://' in given:
        return
    if given is not None:
        path = Path(given)
    elif (work_dir / POINTER).exists():
        path = Path((work_dir / POINTER).read_text('utf-8').strip())
    else:
        return  # nothing to resume from: a new training
    name = path if path.name else work_dir / POINTER
    problem = checkpoint_problem(path) if path.name else 'it is empty'
    if problem is None:
        return
    whole = newest_whole(path.parent if path.name else work_dir)
    if whole is None:
        advice = (
            f'No other checkpoint in {work_dir} is whole. Start anew, without '
            '--resume (in a config: resume=False)'
        )
    else:
        advice = (
            f'The newest whole one is {whole}. Resume from it: --resume '
            f'{whole} (in a config: resume=True, load_from={str(whole)!r})'
        )
    raise ValueError(
        f'{name} cannot be resumed from: {problem}. The process that wrote '
        'it was probably killed, the disk full, or a copy cut off. '
        f'{advice}. No file was changed.'
    )
