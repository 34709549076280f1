"""Trainings side by side: order, resume, failure. train.py is a stand-in."""

import json
import signal
import subprocess
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from mmdistill_tools.runs import TrainingError, logs, process_pool, training
from mmdistill_tools.runs.resume import resume_value

from ..helpers.trainings import TrainStandIn, save


@pytest.fixture
def train(tmp_path, monkeypatch):
    """``train_all`` on the stand-in; returns what was printed."""
    stand_in = TrainStandIn(tmp_path / 'stand_in', tmp_path, monkeypatch)

    def run(plan, at_once=1, **awaited):
        console = Console(file=StringIO(), width=200)
        columns = (TextColumn('{task.description} {task.fields[note]}'),)
        slots = [stand_in.slot(**awaited)] * at_once
        with Progress(*columns, console=console) as progress:
            training.train_all(plan, progress, slots)
        return console.file.getvalue()

    run.events = stand_in.events
    return run


@pytest.fixture
def make(tmp_path):
    def build(name, *after, **options):
        return training.Run(
            title=name,
            config=name,
            folder=tmp_path / name,
            length=4,
            options=options,
            metric='mIoU',
            after=after,
        )

    return build


def test_runs_follow_each_other_and_say_how_they_ended(train, make):
    text = train([make('a'), make('b')])
    assert train.events() == ['start a', 'end a', 'start b', 'end b']
    assert 'a: loss 1.50, mIoU 7.25' in text


def test_two_at_once_share_the_machine(train, make):
    both = ['start a', 'start b']
    train([make('a'), make('b'), make('c')], 2, a=both, b=both)
    events = train.events()
    assert {*events[:2]} == {'start a', 'start b'}
    assert events.index('start c') > 2


def test_a_distilled_run_waits_for_its_teacher(train, make):
    teacher = make('teacher')
    pupil = make('pupil', teacher.checkpoint)
    train([pupil, teacher, make('other')], 2, teacher=['start other'])
    events = train.events()
    assert events.index('start pupil') > events.index('end teacher')


def test_a_checkpoint_that_is_being_written_is_waited_for(make):
    teacher = make('teacher')
    pupil = make('pupil', teacher.checkpoint)
    teacher.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    teacher.checkpoint.touch()  # not its end, as the run goes on
    busy = SimpleNamespace(running=[teacher])
    assert training._ready_runs([teacher, pupil], busy) == []
    assert training._ready_runs([pupil], SimpleNamespace(running=[])) == [
        pupil
    ]


def test_what_is_trained_is_left_alone(train, make):
    done = make('a')
    done.folder.mkdir()
    save(done.checkpoint)
    text = train([done, make('b', done.checkpoint)])
    assert 'made again' not in text
    assert train.events() == ['start b', 'end b']


@pytest.mark.parametrize('length', [0, 50, -50])
def test_a_checkpoint_that_was_cut_is_made_again(train, make, length):
    cut = make('a')
    cut.folder.mkdir()
    save(cut.checkpoint)
    cut.checkpoint.write_bytes(cut.checkpoint.read_bytes()[:length])
    text = train([cut])
    assert 'a: iter_4.pth of an earlier call is corrupt and made' in text
    assert train.events() == ['start a', 'end a']


def corrupt(path, kept=-50):
    """Cut a checkpoint's end off."""
    path.write_bytes(path.read_bytes()[:kept])
    return path


def test_a_run_resumes_from_the_newest_whole_checkpoint(train, make):
    run = make('a')
    run.folder.mkdir()
    for number in (1, 2, 3):
        save(run.folder / f'iter_{number}.pth')
    (run.folder / 'last_checkpoint').write_text(
        str(corrupt(run.folder / 'iter_3.pth'))
    )
    before = {p: p.read_bytes() for p in run.folder.iterdir()}
    train([run])
    assert f"'--resume', '{run.folder}/iter_2.pth'" in run.log.read_text()
    assert all(path.read_bytes() == was for path, was in before.items())


def test_only_checkpoints_at_intervals_are_resumed_from(tmp_path):
    for name in ('best_mIoU_iter_5.pth', 'iter_5_mine.pth', 'mine.pth'):
        save(tmp_path / name)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_5.pth'))
    assert resume_value(tmp_path) is None
    save(tmp_path / 'iter_4.pth')
    assert resume_value(tmp_path) == str(tmp_path / 'iter_4.pth')


@pytest.mark.parametrize('pointer', ['', 'iter_4.pth', 'iter_5.pth'])
def test_a_run_without_a_whole_checkpoint_starts_anew(train, make, pointer):
    run = make('a')
    run.folder.mkdir()
    (run.folder / 'iter_5.pth').touch()
    (run.folder / 'last_checkpoint').write_text(
        pointer and str(run.folder / pointer)
    )
    train([run])
    assert '--resume' not in run.log.read_text()


def test_a_new_run_may_be_resumed(tmp_path):
    assert resume_value(tmp_path) == 'auto'
    (tmp_path / 'last_checkpoint').write_text(
        str(save(tmp_path / 'iter_5.pth'))
    )
    assert resume_value(tmp_path) == 'auto'


def test_options_and_resume_reach_the_script(train, make):
    run = make('a', **{'train_cfg.max_iters': 4})
    train([run])
    text = run.log.read_text()
    assert "'--resume'" in text
    assert "'train_cfg.max_iters=4'" in text


def test_a_failed_training_is_named_with_the_end_of_its_log(train, make):
    plan = [make('bad'), make('slow')]
    with pytest.raises(
        TrainingError,
        match=r'(?s)of bad failed: exit code 1.*'
        r'train\.log:.*something went wrong in it',
    ):
        train(plan, 2, bad=['start slow'], slow=['never'])


def test_an_interrupt_ends_the_trainings(train, make, monkeypatch):
    started = []

    def launch(*args, **settings):
        process = popen(*args, **settings)
        if 'git' not in args[0]:
            started.append(process)
        return process

    def interrupt(seconds):
        raise KeyboardInterrupt('by the user')

    popen = subprocess.Popen
    monkeypatch.setattr(process_pool.subprocess, 'Popen', launch)
    monkeypatch.setattr(training.time, 'sleep', interrupt)
    with pytest.raises(KeyboardInterrupt, match='by the user'):
        train([make('a'), make('b')], 2, a=['never'], b=['never'])
    assert [p.returncode for p in started] == [-signal.SIGTERM] * 2


def log(folder, start, *records, end='\n'):
    path = folder / start / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(r) for r in records) + end)


def test_records_of_a_resumed_run_are_one_curve(tmp_path):
    log(
        tmp_path,
        '20260101_000000',
        dict(loss=3.0, step=10),
        dict(mIoU=1.0, step=10),
        dict(loss=2.0, step=20),
    )
    log(
        tmp_path,
        '20260101_000100',
        dict(loss=2.5, step=20),
        dict(loss=1.0, step=30),
        end='',  # the last line is still being written
    )
    assert logs.curve(tmp_path, 'loss') == ([10, 20], [3.0, 2.5])
    assert logs.curve(tmp_path, 'mIoU') == ([10], [1.0])
