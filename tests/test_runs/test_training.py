"""Trainings side by side: order, resume, failure. train.py is a stand-in."""

import json
import signal
import subprocess
from io import StringIO
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import find_latest_checkpoint
from rich.console import Console
from rich.progress import Progress, TextColumn

from mmdistill_tools.runs import TrainingError, logs, process_pool, training
from mmdistill_tools.runs.corrupt_checkpoints import remove_corrupt_checkpoints

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
    assert 'a: iter_4.pth of an earlier call was not written to' in text
    assert train.events() == ['start a', 'end a']


def test_a_run_resumes_from_the_newest_whole_checkpoint(tmp_path):
    for number in (5, 10, 15):
        save(tmp_path / f'iter_{number}.pth')
    last = tmp_path / 'iter_15.pth'
    last.write_bytes(last.read_bytes()[:-50])
    (tmp_path / 'last_checkpoint').write_text(str(last))
    assert remove_corrupt_checkpoints(tmp_path) == [last]
    found = find_latest_checkpoint(str(tmp_path))
    assert found == str((tmp_path / 'iter_10.pth').resolve())
    assert remove_corrupt_checkpoints(tmp_path) == []
    assert find_latest_checkpoint(str(tmp_path)) == found


def test_other_files_are_not_looked_at(tmp_path):
    for name in ('best_mIoU_iter_5.pth', 'iter_5_mine.pth', 'mine.pth'):
        (tmp_path / name).touch()
    assert remove_corrupt_checkpoints(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 3


def test_a_checkpoint_without_weights_is_removed(tmp_path):
    empty = tmp_path / 'iter_5.pth'
    torch.save(dict(meta={}), empty)
    assert remove_corrupt_checkpoints(tmp_path) == [empty]
    assert not empty.exists()


def test_a_run_without_a_whole_checkpoint_starts_anew(tmp_path):
    cut = tmp_path / 'iter_5.pth'
    cut.touch()
    # The one before it is removed first.
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_4.pth'))
    assert remove_corrupt_checkpoints(tmp_path) == [cut]
    assert find_latest_checkpoint(str(tmp_path)) is None
    assert not list(tmp_path.iterdir())


def test_options_and_resume_reach_the_script(train, make):
    run = make('a', **{'train_cfg.max_iters': 4})
    train([run])
    said = run.log.read_text()
    assert "'--resume'" in said
    assert "'train_cfg.max_iters=4'" in said


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
