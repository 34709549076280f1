"""The demo from its first picture to its last sentence."""

import logging
import os
import shutil
from pathlib import Path

from mmengine.device import get_device
from mmengine.logging import MMLogger
from rich.console import Console

from mmdistill_dense.datasets.shapes import write_dataset
from mmdistill_tools.runs.provenance import cores
from mmdistill_tools.runs.scores import Outcome
from mmdistill_tools.runs.training import cpu_slots, train_all
from mmdistill_tools.study.measure import outcome_of, tested_config
from mmdistill_tools.study.session import check_folder, locked, progress_bars

from . import DemoError, pretraining, tokens, verdict
from .handover import hand_over
from .pictures import draw_figures
from .settings import Settings, check_settings
from .trios import ROLES, Trio, left_out, plan_demo

#: Validation images of the example figures: five, evenly taken from 60.
EXAMPLES = range(0, 60, 12)
#: What is said of the stages of a method, by role.
LEARNED = dict(tokens=tokens.learned, pretraining=pretraining.learned)


def run_demo(settings: Settings, console: Console) -> None:
    """Everything; what was done in an earlier, interrupted call stays.

    Raises:
        TrainingError: If a setting cannot be met, a step fails, or a
            teacher had nothing to teach.
    """
    check_settings(settings)
    with locked(settings.work_dir, 'demo'):
        # The hosts' own words are in the logs of the trainings.
        MMLogger.get_current_instance().setLevel(logging.ERROR)
        os.environ.update(settings.environment())
        if not settings.pictures.is_dir():
            _draw_pictures(settings.pictures, console)
        compared = _train(settings, console)
        results, stages = {}, {}
        for trio in compared:
            results[trio] = _measure(trio, console)
            stages[trio] = {
                role: read(trio)
                for role, read in LEARNED.items()
                if role in trio.runs
            }
            _finish(trio, results[trio], settings, console)
        _conclude(results, stages, settings, console)


def _conclude(
    results: dict[Trio, dict[str, Outcome]],
    stages: dict[Trio, verdict.Stages],
    settings: Settings,
    console: Console,
) -> None:
    """Table, results file and verdict."""
    used = dict(
        seed=settings.seed, length=settings.length, method=settings.method
    )
    path = settings.work_dir / f'results_{settings.method}.json'
    verdict.write_results(path, results, used, stages)
    console.print(verdict.results_table(results))
    for trio, outcomes in results.items():
        for found in stages[trio].values():
            console.print(found.sentence(trio), soft_wrap=True)
        console.print(verdict.gained(trio, outcomes), soft_wrap=True)
    console.print(f'Figures: {settings.work_dir}/figures', soft_wrap=True)
    complaints = [verdict.complaint(*item) for item in results.items()]
    if any(complaints):
        raise DemoError(' '.join(filter(None, complaints)))


def _draw_pictures(folder: Path, console: Console) -> None:
    """Under another name first: an interrupted data set is not taken."""
    unfinished = folder.with_name(f'{folder.name}.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)
    with console.status('drawing the pictures'):
        write_dataset(unfinished)
    unfinished.rename(folder)


def _train(settings: Settings, console: Console) -> list[Trio]:
    """Train all runs of the study; returns what can be compared then."""
    entries, compared = plan_demo(settings)
    console.print(
        f'{len(entries)} trainings on {settings.pictures}; each one writes '
        f'{settings.work_dir}/<model>/<run>/seed_{settings.seed}/train.log.',
        soft_wrap=True,
    )
    for title in left_out(compared):
        console.print(verdict.left_out(title, settings.method), soft_wrap=True)
    for entry in entries:
        check_folder(entry)
    with progress_bars(console) as progress:
        train_all([entry.run for entry in entries], progress, slots())
    return compared


def slots() -> list[dict[str, str]]:
    """Two runs side by side on a CPU, one at a time on a GPU.

    Small models leave cores idle that share one of them, so two trainings
    with half the cores each end sooner than one after the other.
    """
    return cpu_slots(min(2, cores())) if get_device() == 'cpu' else [{}]


def _measure(trio: Trio, console: Console) -> dict[str, Outcome]:
    """Evaluate the models that are compared."""
    outcomes = {}
    for role in ROLES:
        run = trio.runs[role]
        with console.status(f'measuring {run.title}'):
            outcomes[role] = outcome_of(run, EXAMPLES)
    return outcomes


def _finish(
    trio: Trio,
    outcomes: dict[str, Outcome],
    settings: Settings,
    console: Console,
) -> None:
    """Figures, and the student for its host."""
    draw_figures(settings.work_dir / 'figures', trio, outcomes)
    folder = settings.work_dir / 'students' / trio.stem
    run = trio.runs['distilled']
    cfg = tested_config(run)
    with console.status(f'handing over the {trio.title} student'):
        script, printed = hand_over(
            cfg,
            run.checkpoint,
            folder,
            outcomes['distilled'].examples[0].img_path,
        )
    console.print(
        f'{script} (stock config, {cfg.default_scope} alone): {printed}',
        soft_wrap=True,
    )
    if 'pretraining' in trio.runs:
        path = pretraining.hand_over_backbone(trio.runs['pretraining'], folder)
        console.print(f'{path}: its backbone after PCD', soft_wrap=True)
