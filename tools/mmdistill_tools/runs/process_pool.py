"""Pool of training processes, with time and memory of each."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmdistill_dense.compat import package_root

from .provenance import Provenance, collect_provenance
from .resume import resume_value
from .run import LOG_FILE, Run
from .tool import write_atomically

#: File in a work dir: begin, end and peak memory of each training process.
STARTS_FILE = 'starts.json'


class ProcessPool:
    """Pool of training processes; leaving the context terminates them.

    Args:
        slots: Environment variables that each slot adds for its process.
    """

    def __init__(self, slots: Sequence[dict[str, str]]) -> None:
        self._idle = list(slots)
        self._num_slots = len(slots)
        self._active: dict[str, tuple[Run, subprocess.Popen, dict]] = {}
        self._peaks: dict[str, float | None] = {}

    def __enter__(self) -> 'ProcessPool':
        return self

    def __exit__(self, *_: object) -> None:
        for _, process, _ in self._active.values():
            process.terminate()
        for run, process, _ in self._active.values():
            process.wait()
            _note_end(run.folder, self._peaks[run.title])

    @property
    def free(self) -> int:
        """Number of free slots."""
        return len(self._idle)

    @property
    def running(self) -> list[Run]:
        """Runs whose process is in a slot."""
        return [run for run, _, _ in self._active.values()]

    def start(self, run: Run) -> None:
        """Start a run in a free slot; its output goes to its log."""
        slot = self._idle.pop(0)
        run.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, f'{package_root()}/tools/train.py']
        _note_start(run.folder, collect_provenance(self._num_slots, slot))
        with run.log.open('a', encoding='utf-8') as log:
            process = subprocess.Popen(
                [*command, *run.arguments(resume_value(run.folder))],
                env={**os.environ, **slot},
                stdout=log,
                stderr=subprocess.STDOUT,
                close_fds=False,  # the process shares the lock, see lock.py
            )
        self._active[run.title] = run, process, slot
        self._peaks[run.title] = None

    def collect_ended(self) -> Iterator[tuple[Run, str | None]]:
        """Remove ended runs from the pool; yield each with an error message.

        The message is None for a run that succeeded.
        """
        for run, process, slot in list(self._active.values()):
            self._peaks[run.title] = _peak(process) or self._peaks[run.title]
            if process.poll() is None:
                continue
            del self._active[run.title]
            self._idle.append(slot)
            _note_end(run.folder, self._peaks[run.title])
            yield run, _failure(run, process.returncode)


def _failure(run: Run, code: int) -> str | None:
    if code == 0 and run.checkpoint.exists():
        return None
    tail = run.log.read_text('utf-8', 'replace').splitlines()[-15:]
    state = 'exists' if run.checkpoint.exists() else 'is missing'
    return (
        f'the training of {run.title} failed: exit code {code}, final '
        f'checkpoint {run.checkpoint.name} {state}. Last lines of {run.log}:\n'
        + '\n'.join(tail)
    )


def _peak(process: subprocess.Popen) -> float | None:
    """Peak resident memory in MiB of a running process.

    None without ``/proc``. ``wait4`` is no substitute: its value is at least
    the memory that the parent had when it started the process.
    """
    try:
        status = Path(f'/proc/{process.pid}/status').read_text('utf-8')
    except OSError:
        return None
    lines = (line.split() for line in status.splitlines())
    sizes = [int(line[1]) for line in lines if line[:1] == ['VmHWM:']]
    return sizes[0] / 1024 if sizes else None  # absent once it has ended


@dataclass(frozen=True)
class ResourceUsage:
    """Time, memory and provenance of a run, over all its starts.

    Attributes:
        seconds: Wall time.
        peak_mib: Peak memory; None if no start has recorded it.
        starts: Number of starts.
        provenance: Provenance of the last start; None without a start.
        commits: Distinct commits of this package; None without a commit.
    """

    seconds: float
    peak_mib: float | None
    starts: int
    provenance: Provenance | None
    commits: str | None


def resource_usage(folder: Path) -> ResourceUsage:
    """Time, memory and provenance of the run in a work dir."""
    starts = _starts(folder)
    peaks = [start['peak'] for start in starts if start['peak']]
    provenances = [Provenance(**start['origin']) for start in starts]
    commits = dict.fromkeys(p.commit for p in provenances)
    return ResourceUsage(
        seconds=sum(_end_time(folder, s) - s['begin'] for s in starts),
        peak_mib=max(peaks, default=None),
        starts=len(starts),
        provenance=provenances[-1] if provenances else None,
        commits=', '.join(filter(None, commits)) or None,
    )


def _starts(folder: Path) -> list[dict]:
    path = folder / STARTS_FILE
    return json.loads(path.read_text('utf-8')) if path.exists() else []


def _end_time(folder: Path, start: dict) -> float:
    """Recorded end time of a start.

    If none is recorded, the time of the last write to the log. ``_note_end``
    uses this too, so an end time is always the log's mtime.
    """
    log = folder / LOG_FILE
    last = log.stat().st_mtime if log.exists() else 0.0
    return start['end'] or max(last, start['begin'])


def _note_start(folder: Path, provenance: Provenance) -> None:
    starts = _starts(folder)
    if starts:  # the previous parent may have died
        starts[-1]['end'] = _end_time(folder, starts[-1])
    starts.append(
        dict(begin=time.time(), end=None, peak=None, origin=asdict(provenance))
    )
    write_atomically(folder / STARTS_FILE, json.dumps(starts))


def _note_end(folder: Path, peak: float | None) -> None:
    starts = _starts(folder)
    starts[-1].update(end=_end_time(folder, starts[-1]), peak=peak)
    write_atomically(folder / STARTS_FILE, json.dumps(starts))
