"""Run the demo: data, trainings, figures and conclusions."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.device import get_device
from mmengine.logging import MMLogger
from rich.console import Console

from mmdistill_dense.datasets import shapes
from mmdistill_tools.runs.provenance import available_cores
from mmdistill_tools.runs.training import cpu_slots
from mmdistill_tools.study.folders import locked
from mmdistill_tools.study.measure import tested_config
from mmdistill_tools.study.outputs import write_report
from mmdistill_tools.study.results import ResultsFile
from mmdistill_tools.study.session import Session
from mmdistill_tools.study.tables import scores_table

from . import DemoError, conclusions, pretraining, tokens
from .comparisons import Comparison, comparisons, demo_study, skipped_models
from .export import export_student, run_student
from .pictures import draw_comparison
from .settings import Settings, check_settings


def run_demo(settings: Settings, console: Console) -> None:
    """Run the demo; an interrupted one is resumed.

    Raises:
        TrainingError: If a setting is invalid, a step fails, or a teacher
            is not better than its student.
    """
    check_settings(settings)
    with locked(settings.work_dir, 'demo'):
        # The hosts' messages are in the logs of the trainings.
        MMLogger.get_current_instance().setLevel(logging.ERROR)
        os.environ.update(settings.environment())
        with _drawn_dataset(settings.data_root, console):
            study = demo_study(settings)
            for title in skipped_models(study, settings.method):
                text = conclusions.skipped(title, settings.method)
                console.print(text, soft_wrap=True)
            # The figures need every checkpoint, also of a run with a result.
            session = Session.from_study(study, len(slots()), console, True)
            compared = comparisons(study, settings.method)
        _train(session, compared, settings, console)
        results = ResultsFile(study.results)
        written = write_report(study, results)
        _conclude(compared, results, console)
        console.print(
            f'Written: {written}, {study.results}, '
            f'{settings.work_dir}/figures, {settings.work_dir}/students',
            soft_wrap=True,
        )
        problems = [
            conclusions.teacher_problem(comparison, comparison.scores(results))
            for comparison in compared
        ]
        if any(problems):
            raise DemoError(' '.join(filter(None, problems)))


def _train(
    session: Session,
    compared: list[Comparison],
    settings: Settings,
    console: Console,
) -> None:
    """Train, and draw each comparison while the runs of another train."""
    # Distilled runs take the longest and wait for stages; students come last.
    rank = {settings.method: 0, 'student': 2}
    session.remaining.sort(
        key=lambda e: rank.get(e.row.name.partition('/')[2], 1)
    )
    unwritten = list(compared)

    def write_ended() -> None:
        for comparison in list(unwritten):
            if session.has_ended(comparison.entries.values()):
                unwritten.remove(comparison)
                _write_comparison(comparison, settings, console)

    write_ended()
    session.train(slots(), write_ended)


def _conclude(
    compared: list[Comparison], results: ResultsFile, console: Console
) -> None:
    """Print scores, summaries of the stages, and the gain."""
    for comparison in compared:
        console.print(scores_table(comparison.study, results), soft_wrap=True)
        for stage in (tokens, pretraining):
            if stage.ROLE in comparison.entries:
                text = stage.read_summary(comparison).to_sentence(comparison)
                console.print(text, soft_wrap=True)
        scores = comparison.scores(results)
        console.print(conclusions.gain(comparison, scores), soft_wrap=True)


@contextmanager
def _drawn_dataset(folder: Path, console: Console) -> Iterator[None]:
    """Draw the data set beside what is done inside, unless it is there.

    Another process writes it to a temporary folder, which is then renamed.

    Raises:
        DemoError: If it cannot be written.
    """
    if folder.is_dir():
        yield
        return
    unfinished = folder.with_name(f'{folder.name}.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [
        *(sys.executable, '-m', shapes.__name__, str(unfinished)),
        *('--workers', str(min(2, available_cores()))),
    ]
    with (
        console.status('drawing the pictures'),
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its workers end with it
        ) as process,
    ):
        try:
            yield
            output, _ = process.communicate()
        finally:
            with suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise DemoError(
            f'the data set could not be drawn: {output.decode().strip()}'
        )
    unfinished.rename(folder)


def slots() -> list[dict[str, str]]:
    """Two runs side by side on a CPU, one at a time on a GPU.

    Small models do not use all cores, so two trainings with half the cores
    each are faster than one after the other.
    """
    return (
        cpu_slots(min(2, available_cores())) if get_device() == 'cpu' else [{}]
    )


def _write_comparison(
    comparison: Comparison, settings: Settings, console: Console
) -> None:
    """Export the student, and draw the figures while its host runs it."""
    folder = settings.work_dir / 'students' / comparison.stem
    run = comparison.runs['distilled']
    cfg = tested_config(run)
    script = export_student(cfg, run.checkpoint, folder)
    image = min((settings.data_root / 'images' / 'val').iterdir())
    with ThreadPoolExecutor() as pool:
        printed = pool.submit(run_student, script, image)
        draw_comparison(settings.work_dir / 'figures', comparison)
    console.print(
        f'{script} (stock config, {cfg.default_scope} alone): '
        f'{printed.result()}',
        soft_wrap=True,
    )
    if pretraining.ROLE in comparison.entries:
        run = comparison.runs[pretraining.ROLE]
        path = pretraining.export_backbone(run, folder)
        console.print(f'{path}: its backbone after PCD', soft_wrap=True)
