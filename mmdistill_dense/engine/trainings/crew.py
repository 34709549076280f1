"""Processes that train side by side, and what each of them took."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdistill_dense.compat import package_root

from .provenance import commit

if TYPE_CHECKING:
    from .runs import Run

#: Beside a run's logs: begin, end and peak memory of each of its processes.
STARTS = 'starts.json'


class Crew:
    """Runs in slots; those that still go on at the end are ended.

    Args:
        slots: What each slot adds to the environment of its process.
    """

    def __init__(self, slots: Sequence[dict[str, str]]) -> None:
        self._idle = list(slots)
        self._work: dict[str, tuple[Run, subprocess.Popen, dict]] = {}

    def __enter__(self) -> 'Crew':
        return self

    def __exit__(self, *_: object) -> None:
        for _, process, _ in self._work.values():
            process.terminate()
        for run, process, _ in self._work.values():
            process.wait()
            _note_end(run.folder, None)

    @property
    def free(self) -> int:
        """How many slots have nothing to do."""
        return len(self._idle)

    @property
    def running(self) -> list['Run']:
        """Runs that have a slot."""
        return [run for run, _, _ in self._work.values()]

    def start(self, run: 'Run') -> None:
        """Start it in a free slot; what it prints goes to its log."""
        slot = self._idle.pop(0)
        run.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, f'{package_root()}/tools/train.py']
        _note_start(run.folder, run.log)
        with run.log.open('a', encoding='utf-8') as log:
            process = subprocess.Popen(
                [*command, *run.arguments()],
                env={**os.environ, **slot},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._work[run.title] = run, process, slot

    def ended(self) -> Iterator[tuple['Run', str | None]]:
        """Runs whose process has ended, and what went wrong, if anything."""
        for run, process, slot in list(self._work.values()):
            peak = _reap(process)
            if process.returncode is None:
                continue
            del self._work[run.title]
            self._idle.append(slot)
            _note_end(run.folder, peak)
            yield run, _failure(run, process.returncode)


def _failure(run: 'Run', code: int) -> str | None:
    if code == 0 and run.checkpoint.exists():
        return None
    tail = run.log.read_text('utf-8', 'replace').splitlines()[-15:]
    return (
        f'the training of {run.title} ended with exit code {code} and '
        f'{"with" if run.checkpoint.exists() else "without"} '
        f'{run.checkpoint.name}. The end of {run.log}:\n' + '\n'.join(tail)
    )


def _reap(process: subprocess.Popen) -> float | None:
    """Set the exit code of an ended process; its peak memory in MiB.

    That is the resident memory of the largest process of the run; None
    where the system does not tell.
    """
    if not hasattr(os, 'wait4'):
        process.poll()
        return None
    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if not pid:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == 'darwin' else 1024
    return usage.ru_maxrss * unit / 2**20


@dataclass(frozen=True)
class Spent:
    """What a run took, over all its starts.

    Attributes:
        seconds: Wall time.
        peak_mib: Peak memory; None if it is not known of all starts.
        starts: How many there were.
        commit: Of this package at the last one.
    """

    seconds: float
    peak_mib: float | None
    starts: int
    commit: str | None


def spent(folder: Path) -> Spent:
    """What the run in a work dir took."""
    starts = _starts(folder)
    peaks = [start['peak'] for start in starts]
    return Spent(
        seconds=sum(start['end'] - start['begin'] for start in starts),
        peak_mib=None if None in peaks else max(peaks, default=None),
        starts=len(starts),
        commit=starts[-1]['commit'] if starts else None,
    )


def _starts(folder: Path) -> list[dict]:
    path = folder / STARTS
    return json.loads(path.read_text('utf-8')) if path.exists() else []


def _note_start(folder: Path, log: Path) -> None:
    starts = _starts(folder)
    if starts and starts[-1]['end'] is None:  # the machine went down
        last = log.stat().st_mtime if log.exists() else 0
        starts[-1]['end'] = max(last, starts[-1]['begin'])
    starts.append(
        dict(begin=time.time(), end=None, peak=None, commit=commit())
    )
    _write(folder, starts)


def _note_end(folder: Path, peak: float | None) -> None:
    starts = _starts(folder)
    starts[-1].update(end=time.time(), peak=peak)
    _write(folder, starts)


def _write(folder: Path, starts: list[dict]) -> None:
    """Under another name first: a file that is there is whole."""
    unfinished = folder / f'{STARTS}.unfinished'
    unfinished.write_text(json.dumps(starts), encoding='utf-8')
    unfinished.replace(folder / STARTS)
