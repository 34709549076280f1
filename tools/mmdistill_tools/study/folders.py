"""Folders of a study and of its runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdistill_tools.runs.lock import acquire_lock
from mmdistill_tools.runs.process_pool import STARTS_FILE

from . import StudyError
from .plan import Entry
from .results import command

#: File in the folder of each run: the command that trains it.
COMMAND_FILE = 'command.txt'


@contextmanager
def locked(work_dir: Path, what: str = 'study') -> Iterator[None]:
    """Lock a work dir against a second call.

    Args:
        work_dir: The work dir.
        what: Kind of call, for the message.

    Raises:
        StudyError: If it is locked, or cannot be written.
    """
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        lock = (work_dir / '.lock').open('w')
    except OSError as error:
        raise StudyError(
            f'the work dir {work_dir} cannot be written: {error}.'
        ) from error
    with lock:
        if not acquire_lock(lock):
            raise StudyError(
                f'{work_dir} is in use by another {what}, or by a training '
                f'process that outlived a killed {what}. Wait until it exits, '
                'or terminate it.'
            )
        yield


def check_and_record_command(entry: Entry) -> None:
    """Create the folder of a run and write the command to it.

    Raises:
        StudyError: If the folder contains a run with other settings.
    """
    folder, current = entry.run.folder, command(entry)
    path = folder / COMMAND_FILE
    previous = path.read_text('utf-8') if path.exists() else ''
    started = (folder / STARTS_FILE).exists()
    if started and previous not in ('', current):
        raise StudyError(
            f'{folder} contains a run with other settings.\nThen: '
            f'{previous}\nNow:  {current}\nRemove that folder, or give the '
            'row another name.'
        )
    if not previous and any(folder.glob('*.pth')):
        raise StudyError(
            f'{folder} contains checkpoints but no {COMMAND_FILE}, so the '
            'settings that produced them are unknown. Remove the folder, or '
            'rename the row in the study.'
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(current, encoding='utf-8')
