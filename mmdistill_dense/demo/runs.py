"""Trainings as the user would start them: ``tools/train.py``, several."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import Progress

from mmdistill_dense.compat import package_root

from . import DemoError
from .mend import drop_unreadable


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        title: For people.
        config: File of its config.
        folder: Work dir.
        iterations: How long it is.
        options: What ``--cfg-options`` gets.
        metric: Key of the score in its validation.
        after: Checkpoints that must be there before it starts.
    """

    title: str
    config: str
    folder: Path
    iterations: int
    options: dict[str, object] = field(repr=False)
    metric: str
    after: tuple[Path, ...] = ()

    @property
    def checkpoint(self) -> Path:
        """What it leaves at its end."""
        return self.folder / f'iter_{self.iterations}.pth'

    @property
    def log(self) -> Path:
        """All that its process printed."""
        return self.folder / 'train.log'


def train_all(
    runs: Sequence[Run],
    progress: Progress,
    environment: dict[str, str],
    at_once: int,
) -> None:
    """Train what is not trained yet, ``at_once`` runs side by side.

    A checkpoint of an earlier call that cannot be read is removed first.

    Raises:
        DemoError: If a training fails; the others are ended.
    """
    for run in runs:
        for path in drop_unreadable(run.folder):
            progress.console.print(
                f'{run.title}: {path.name} of an earlier call was not '
                'written to its end and is made again.',
                soft_wrap=True,
            )
    waiting = [run for run in runs if not run.checkpoint.exists()]
    bars = {
        run.title: progress.add_task(
            run.title, start=False, total=run.iterations, note=''
        )
        for run in waiting
    }
    started: dict[str, subprocess.Popen] = {}
    try:
        while waiting:
            for run in _may_start(waiting, started)[: at_once - len(started)]:
                started[run.title] = _launch(run, environment)
                progress.start_task(bars[run.title])
            time.sleep(0.5)
            for run in waiting:
                if run.title in started:
                    step, note = _state(run)
                    bar = bars[run.title]
                    progress.update(bar, completed=step, note=note)
            for run in _ended(waiting, started):
                waiting.remove(run)
                progress.update(bars[run.title], completed=run.iterations)
                progress.console.print(f'{run.title}: {_state(run)[1]}')
    finally:
        for process in started.values():
            process.terminate()
        for process in started.values():
            process.wait()


def _may_start(
    waiting: list[Run], started: dict[str, subprocess.Popen]
) -> list[Run]:
    """Runs that have all they need, in their order.

    A checkpoint counts when its run has ended: before, it may be there in
    part.
    """
    unfinished = {run.checkpoint for run in waiting}
    return [
        run
        for run in waiting
        if run.title not in started
        and unfinished.isdisjoint(run.after)
        and all(path.exists() for path in run.after)
    ]


def _launch(run: Run, environment: dict[str, str]) -> subprocess.Popen:
    run.folder.mkdir(parents=True, exist_ok=True)
    options = [f'{key}={value}' for key, value in run.options.items()]
    command = [sys.executable, f'{package_root()}/tools/train.py', run.config]
    # An interrupted training goes on from its last checkpoint.
    command += ['--work-dir', str(run.folder), '--resume']
    with run.log.open('a', encoding='utf-8') as log:
        return subprocess.Popen(
            [*command, '--cfg-options', *options],
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _ended(
    waiting: list[Run], started: dict[str, subprocess.Popen]
) -> list[Run]:
    """Runs whose process has ended well."""
    ended = [
        run
        for run in waiting
        if run.title in started and started[run.title].poll() is not None
    ]
    for run in ended:
        code = started.pop(run.title).returncode
        if code or not run.checkpoint.exists():
            tail = run.log.read_text('utf-8', 'replace').splitlines()[-15:]
            raise DemoError(
                f'the training of {run.title} ended with exit code {code} '
                f'and without {run.checkpoint.name}. The end of {run.log}:\n'
                + '\n'.join(tail)
            )
    return ended


def records(folder: Path) -> list[dict]:
    """What MMEngine logged in a work dir, over all starts, by iteration."""
    found: dict[tuple, dict] = {}
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text('utf-8').splitlines(keepends=True):
            if line.endswith('\n'):  # else it is being written
                record = json.loads(line)
                found[record['step'], 'loss' in record] = record
    return [found[key] for key in sorted(found)]


def curve(folder: Path, key: str) -> tuple[list[int], list[float]]:
    """Iterations and values of what was logged under ``key``."""
    points = [(r['step'], r[key]) for r in records(folder) if key in r]
    return [step for step, _ in points], [value for _, value in points]


def _state(run: Run) -> tuple[int, str]:
    """Iterations done, and the last loss and score in words."""
    steps, losses = curve(run.folder, 'loss')
    _, scores = curve(run.folder, run.metric)
    words = [f'loss {losses[-1]:.2f}'] if losses else []
    if scores:
        words.append(f'{run.metric.rpartition("/")[2]} {scores[-1]:.3g}')
    return max(steps, default=0), ', '.join(words)
