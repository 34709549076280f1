"""Run several trainings with ``tools/train.py``."""

import os
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from mmdistill_dense.hooks.checkpoint_files import checkpoint_problem

from . import TrainingError
from .logs import records
from .process_pool import ProcessPool
from .provenance import available_cores
from .run import Run

#: Seconds between two polls of the processes.
POLL_SECONDS = 0.5


def cpu_slots(at_once: int) -> list[dict[str, str]]:
    """Slot environments that divide the cores of this machine."""
    if 'OMP_NUM_THREADS' in os.environ:  # set by the user
        return [{} for _ in range(at_once)]
    threads = str(max(1, available_cores() // at_once))
    return [{'OMP_NUM_THREADS': threads} for _ in range(at_once)]


def progress_bars(console: Console) -> Progress:
    """A bar for each run; disabled without a terminal."""
    columns = (
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[note]}'),
        TimeRemainingColumn(),
    )
    # In a file or a pipe, only meaningless last frames would be printed.
    return Progress(*columns, console=console, disable=not console.is_terminal)


def raise_failure(run: Run, failure: str | None) -> None:
    """Raise the failure of a run, if there is one.

    Raises:
        TrainingError: If the run has failed.
    """
    if failure:
        raise TrainingError(failure)


def train_all(
    runs: Sequence[Run],
    progress: Progress,
    slots: Sequence[dict[str, str]],
    on_run_ended: Callable[[Run, str | None], None] = raise_failure,
) -> None:
    """Train the runs without a final checkpoint, one per slot.

    A run whose checkpoints are corrupt goes on from the newest whole one.
    Runs that depend on a failed run are not started.

    Args:
        runs: Runs to train.
        progress: Shows a bar for each run, with a field ``note``.
        slots: Environment of each slot; as many runs train side by side.
        on_run_ended: Called with each run that has ended, those of an
            earlier call first, and an error message or None, while other
            runs train; if it raises, they are terminated.
    """
    waiting = _untrained(runs, progress)
    ended = [(run, None) for run in runs if run not in waiting]
    bars = {
        run.title: progress.add_task(
            run.title, start=False, total=run.length, note=''
        )
        for run in waiting
    }
    with ProcessPool(slots) as pool:
        while True:
            for run in _ready_runs(waiting, pool)[: pool.free]:
                pool.start(run)
                progress.start_task(bars[run.title])
            # It may take long, so the free slots are filled before it.
            for run, failure in ended:
                on_run_ended(run, failure)
            if not pool.running:
                return
            time.sleep(POLL_SECONDS)
            for run in pool.running:
                progress.update(bars[run.title], **_progress_fields(run))
            ended = list(pool.collect_ended())
            for run, failure in ended:
                waiting.remove(run)
                state = _progress_fields(run)
                if failure is None:  # the last steps may not be logged
                    state['completed'] = run.length
                progress.update(bars[run.title], **state)
                progress.console.print(f'{run.title}: {state["note"]}')


def _untrained(runs: Sequence[Run], progress: Progress) -> list[Run]:
    untrained = []
    for run in runs:
        problem = checkpoint_problem(run.checkpoint)
        if problem:
            untrained.append(run)
        if problem and run.checkpoint.exists():
            progress.console.print(
                f'{run.title}: {run.checkpoint.name} of an earlier call is '
                f'corrupt and made again: {problem}.',
                soft_wrap=True,
            )
    return untrained


def _ready_runs(waiting: list[Run], pool: ProcessPool) -> list[Run]:
    """Runs whose dependencies are finished, in order.

    A checkpoint counts once its run has ended; until then it may be
    incomplete.
    """
    unfinished = {run.checkpoint for run in waiting}
    return [
        run
        for run in waiting
        if run not in pool.running
        and unfinished.isdisjoint(run.after)
        and all(path.exists() for path in run.after)
    ]


def _progress_fields(run: Run) -> dict:
    """Completed steps, and the last loss and score as text."""
    logged = records(run.folder)
    trained = [record for record in logged if 'loss' in record]
    scores = [r[run.metric] for r in logged if run.metric in r]
    words = [f'loss {trained[-1]["loss"]:.2f}'] if trained else []
    if scores:
        words.append(f'{run.metric.rpartition("/")[2]} {scores[-1]:.3g}')
    return dict(completed=_completed(run, trained), note=', '.join(words))


def _completed(run: Run, trained: list[dict]) -> int:
    """Logged iterations, or finished epochs."""
    if run.unit == 'iter':
        return max((record['step'] for record in trained), default=0)
    return max((record.get('epoch', 1) - 1 for record in trained), default=0)
