"""The demo from its first picture to its last sentence."""

import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from mmengine.device import get_device
from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from mmdistill_dense.datasets.shapes import write_dataset
from mmdistill_tools.runs.provenance import cores
from mmdistill_tools.runs.runs import Run, cpu_slots, train_all
from mmdistill_tools.runs.scores import Outcome, evaluate

from . import DemoError, pretraining, tokens, verdict
from .claim import claim, claimed
from .handover import hand_over
from .pictures import draw_figures
from .plan import Settings, model_config, plan_all, stock_config
from .studies import ROLES, Study

#: Rows of the example figures.
EXAMPLES = 5
#: Validation images that the rows are taken from, evenly.
SPREAD = 60
#: What is told of the stages of a method, by role.
LEARNED = dict(tokens=tokens.learned, pretraining=pretraining.learned)


def run_demo(settings: Settings, console: Console) -> None:
    """Everything; what was done in an earlier, interrupted call stays.

    Raises:
        DemoError: If a setting cannot be met, a step fails, or a teacher
            had nothing to teach.
    """
    claim(settings)
    with claimed(settings.work_dir):
        _run(settings, console)


def _run(settings: Settings, console: Console) -> None:
    # The hosts' own words are in the logs of the trainings.
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    os.environ.update(settings.environment())
    if not settings.pictures.is_dir():
        _draw_pictures(settings.pictures, console)
    plans = plan_all(settings)
    runs = [run for plan in plans.values() for run in plan.values()]
    console.print(
        f'{len(runs)} trainings on {settings.pictures}; each one writes '
        f'{settings.work_dir}/<model>/<run>/train.log.',
        soft_wrap=True,
    )
    for study in settings.left_out:
        console.print(verdict.left_out(study, settings.method), soft_wrap=True)
    _train(runs, console)
    results, stages = {}, {}
    for study, plan in plans.items():
        results[study] = _measure(study, plan, console)
        stages[study] = {
            role: read(study, plan)
            for role, read in LEARNED.items()
            if role in plan
        }
        _finish(study, plan, results[study], settings, console)
    _tell(results, stages, settings, console)


def _tell(
    results: dict[Study, dict[str, Outcome]],
    stages: dict[Study, verdict.Stages],
    settings: Settings,
    console: Console,
) -> None:
    """Table, results file and verdict."""
    said = dict(
        seed=settings.seed, length=settings.length, method=settings.method
    )
    path = settings.work_dir / f'results_{settings.method}.json'
    verdict.write_results(path, results, said, stages)
    console.print(verdict.results_table(results))
    for study, outcomes in results.items():
        for found in stages[study].values():
            console.print(found.told(study), soft_wrap=True)
        console.print(verdict.gained(study, outcomes), soft_wrap=True)
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


def _train(runs: Sequence[Run], console: Console) -> None:
    """All runs: two side by side on a CPU, one at a time on a GPU.

    Small models leave cores idle that share one of them, so two trainings
    with half the cores each end sooner than one after the other.
    """
    slots: list[dict[str, str]] = [{}]
    if get_device() == 'cpu':
        slots = cpu_slots(min(2, cores()))
    # The distilled runs last: they wait for all others.
    order = sorted(runs, key=lambda run: run.title.endswith('distilled'))
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[note]}'),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        train_all(order, progress, slots)


def _measure(
    study: Study, runs: dict[str, Run], console: Console
) -> dict[str, Outcome]:
    """Evaluate the models of a study."""
    outcomes = {}
    for role in ROLES:
        run = runs[role]
        with console.status(f'measuring {run.title}'):
            cfg = stock_config(study, role)
            rows = range(0, SPREAD, SPREAD // EXAMPLES)
            with redirect_stdout(StringIO()):  # pycocotools tells a lot
                outcomes[role] = evaluate(cfg, str(run.checkpoint), rows)
    return outcomes


def _finish(
    study: Study,
    runs: dict[str, Run],
    outcomes: dict[str, Outcome],
    settings: Settings,
    console: Console,
) -> None:
    """Figures, and the student for its host."""
    draw_figures(
        settings.work_dir / 'figures',
        study,
        outcomes,
        runs,
        model_config(study, 'distilled'),
    )
    folder = settings.work_dir / 'students' / study.stem
    cfg = stock_config(study, 'distilled')
    with console.status(f'handing over the {study.title} student'):
        script, said = hand_over(
            cfg,
            runs['distilled'].checkpoint,
            folder,
            outcomes['distilled'].examples[0].img_path,
        )
    console.print(
        f'{script} (stock config, {cfg.default_scope} alone): {said}',
        soft_wrap=True,
    )
    if 'pretraining' in runs:
        cfg = model_config(study, 'pretraining')
        path = pretraining.hand_over_backbone(cfg, runs['pretraining'], folder)
        console.print(f'{path}: its backbone after PCD', soft_wrap=True)
