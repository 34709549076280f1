"""What the user asked for, checked before anything is written."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdistill_tools.runs.lock import hold
from mmdistill_tools.runs.tool import write_whole

from . import DemoError
from .plan import Settings
from .studies import check_camvid


def claim(settings: Settings) -> None:
    """Check the settings; keep runs of other ones out of this work dir.

    All methods may share one: teacher and student are the same.

    Raises:
        DemoError: If a setting cannot be met, or the work dir cannot be
            written or holds a demo with other settings.
    """
    _check_length(settings.length)
    _check_paths(settings)
    if settings.data:
        check_camvid(settings.data)
    asked = dict(
        data=str(settings.data.resolve()) if settings.data else None,
        seed=settings.seed,
        length=settings.length,
    )
    path = settings.work_dir / 'settings.json'
    try:
        if path.exists():
            _compare(path, asked)
        else:
            write_whole(path, json.dumps(asked))
    except OSError as error:
        raise DemoError(
            f'--work-dir {settings.work_dir} cannot be used: {error}. '
            'Expected a folder that can be written, or made.'
        ) from error


@contextmanager
def claimed(work_dir: Path) -> Iterator[None]:
    """Keep a second demo out of a work dir, one of another method too.

    Raises:
        DemoError: If there is one.
    """
    with (work_dir / '.lock').open('w') as lock:
        if not hold(lock):
            raise DemoError(
                'another demo, or a training that a killed one left, is at '
                f'work in {work_dir}. Wait for its end, or end it first.'
            )
        yield


def _check_length(length: float) -> None:
    if not 0 < length < math.inf:  # nor is nan
        raise DemoError(
            f'--length must be more than 0 and finite, got {length:g}: 1 is '
            'the full demo, 0.02 a quick look.'
        )


def _check_paths(settings: Settings) -> None:
    # Checkpoints reach a training as --cfg-options, which drop and split at
    # some characters; the data root is put into the text of its config.
    option = '--data' if settings.data else '--work-dir'
    _check_path('--work-dir', settings.work_dir, r'[\s,\'"\\]')
    _check_path(option, settings.pictures.resolve(), r'[\n\'"\\]')


def _check_path(option: str, path: Path, unwanted: str) -> None:
    found = re.search(unwanted, path.as_posix())
    if found:
        raise DemoError(
            f'{option} {path} has {found[0]!r} in it, which does not survive '
            'in the settings of a training. Expected a path without quotes '
            'and backslashes, and for --work-dir without white space and '
            'commas.'
        )


def _compare(path: Path, asked: dict) -> None:
    """Refuse other settings than those in the file."""
    try:
        found = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        raise DemoError(
            f'{path} cannot be read as settings of the demo: {error}. Remove '
            'it if the runs beside it have the settings of this call, else '
            'the whole folder.'
        ) from error
    if found != asked:
        raise DemoError(
            f'{path.parent} holds a demo with other settings ({found}, asked '
            f'for: {asked}). Remove it, or give another --work-dir.'
        )
