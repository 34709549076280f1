"""Study files on small configs, and trainings and scores that are made up."""

from dataclasses import dataclass
from io import StringIO

import pytest
import yaml
from rich.console import Console

from mmdistill_tools.runs import lock, training
from mmdistill_tools.study import StudyError, session
from mmdistill_tools.study.definition import read_study
from mmdistill_tools.study.plan import plan_study
from mmdistill_tools.study.results import Result, ResultsFile, command

from ..helpers.trainings import TrainStandIn

#: As much as a study looks at.
CONFIG = """
model = dict(lr=1, teacher=dict(checkpoint=''))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)
param_scheduler = [dict(type='PolyLR', begin=0, end=4, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=2))
val_dataloader = dict(batch_size=1)
val_evaluator = dict(type='IoUMetric')
"""


@pytest.fixture
def config(tmp_path):
    """Write a config; returns its path."""

    def write(name='some', text=CONFIG, extra=''):
        path = tmp_path / f'{name}.py'
        path.write_text(text + extra)
        return str(path)

    return write


@pytest.fixture
def content(config, tmp_path):
    """A study of a student and a teacher; change what a test is about."""
    path = config()
    return dict(
        title='A study',
        metrics=dict(mIoU='mean IoU'),
        baseline='student',
        seeds=[0],
        work_dir=str(tmp_path / 'work'),
        rows=dict(
            student=dict(config=path),
            distilled=dict(
                config=path,
                options={'model.teacher.checkpoint': '${teacher}'},
            ),
            teacher=dict(config=path),
        ),
    )


@pytest.fixture
def read(tmp_path):
    """Write a study file and read it."""

    def call(content):
        path = tmp_path / 'my_study.yaml'
        text = content if isinstance(content, str) else yaml.dump(content)
        path.write_text(text)
        return read_study(path)

    return call


@pytest.fixture
def plan(read):
    """Entries by row and seed, in their order."""

    def call(content):
        entries = plan_study(read(content))
        return {(entry.row.name, entry.seed): entry for entry in entries}

    return call


def result_of(entry, **changes):
    """A result that is made up."""
    values = dict(
        row=entry.row.name,
        seed=entry.seed,
        scores=dict(mIoU=40.5),
        classes=dict(sky=90.0, car=None),
        length=entry.run.length,
        parameters=100,
        flops=200,
        train_seconds=60.0,
        peak_mib=None,
        starts=1,
        command=command(entry),
        commit='abc',
        versions=dict(python='3.11'),
        machine=dict(cores=2),
        ended='2026-01-01T00:00:00Z',
    )
    return Result(**values | changes)


@dataclass
class Call:
    """What a call of the study did.

    Attributes:
        events: Starts and ends of trainings.
        measured: Runs, in their order.
        text: What was printed.
        error: What it ended with, or None.
    """

    events: list
    measured: list
    text: str
    error: str | None


@pytest.fixture
def study(read, tmp_path, monkeypatch):
    """Run a study whose trainings and scores are made up."""
    stand_in = TrainStandIn(
        tmp_path / 'stand_in', tmp_path / 'work', monkeypatch
    )
    monkeypatch.setattr(lock, 'LOCK_TIMEOUT', 0)
    monkeypatch.setattr(training, 'POLL_SECONDS', 0.02)

    def call(content, measure=result_of, at_once=1, **slot):
        def measure_(entry):
            measured.append(f'{entry.row.name}/{entry.seed}')
            return measure(entry)

        seen, measured, error = len(stand_in.events()), [], None
        console = Console(file=StringIO(), width=300)
        monkeypatch.setattr(session, 'measure', measure_)
        try:
            slots = [stand_in.slot(**slot)] * at_once
            session.run_study(read(content), slots, console)
        except StudyError as stop:
            error = str(stop)
        text = console.file.getvalue()
        return Call(stand_in.events()[seen:], measured, text, error)

    return call


@pytest.fixture
def results(tmp_path):
    """What the results file holds: row and seed of each run."""

    def read():
        found = ResultsFile(tmp_path / 'my_study.json').results
        return [f'{result.row}/{result.seed}' for result in found]

    return read
