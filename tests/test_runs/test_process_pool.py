"""The usage of runs is recorded, however they end."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from mmdistill_tools.runs import lock, process_pool, provenance
from mmdistill_tools.runs.run import Run

from ..helpers.trainings import TrainStandIn


@pytest.fixture
def run(tmp_path):
    options = dict(a=1)
    return Run('a', 'a.py', tmp_path / 'a', 4, options, 'mIoU')


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, 'commit', lambda: 'abc')
    return TrainStandIn(tmp_path / 'stand_in', tmp_path, monkeypatch)


def train(run, *slots):
    """To its end; returns what went wrong."""
    with process_pool.ProcessPool(slots) as workers:
        workers.start(run)
        assert workers.free == len(slots) - 1
        while workers.running:
            time.sleep(0.02)
            for _, failure in workers.collect_ended():
                return failure
    raise AssertionError('it never ended')


def starts(run):
    return json.loads((run.folder / process_pool.STARTS_FILE).read_text())


def test_a_run_that_ends_has_its_time_memory_and_commit(run, stand_in):
    begin = time.time()
    assert train(run, stand_in.slot()) is None
    usage = process_pool.resource_usage(run.folder)
    assert usage.starts == 1
    assert usage.commits == 'abc'
    assert usage.provenance.machine['runs_at_once'] == 1
    assert 0 < usage.seconds <= time.time() - begin
    # A bare Python: a few MiB, neither bytes nor KiB, and not this process.
    assert 2 < usage.peak_mib < 100


def test_every_start_counts(run, stand_in, monkeypatch):
    assert 'exit code 1, final checkpoint iter_4.pth is missing' in train(
        run, stand_in.slot(failing='a')
    )
    monkeypatch.setattr(provenance, 'commit', lambda: 'def')
    assert train(run, stand_in.slot()) is None
    first, second = starts(run)
    usage = process_pool.resource_usage(run.folder)
    assert usage.starts == 2
    assert (usage.commits, usage.provenance.commit) == ('abc, def', 'def')
    # A process may end before it is looked at.
    peaks = [start['peak'] for start in (first, second) if start['peak']]
    assert usage.peak_mib == max(peaks, default=None)
    assert usage.seconds == pytest.approx(
        sum(start['end'] - start['begin'] for start in (first, second))
    )


def test_a_run_that_is_ended_is_noted(run, stand_in):
    with process_pool.ProcessPool([stand_in.slot(a=['never'])]) as workers:
        workers.start(run)
        while not stand_in.events():
            time.sleep(0.02)
    (start,) = starts(run)
    assert start['end'] > start['begin']


def test_the_log_tells_the_end_that_nobody_saw(run, tmp_path):
    run.folder.mkdir()
    made_with = provenance.collect_provenance(1, {})
    start = dict(begin=1000.0, end=None, peak=None, origin=asdict(made_with))
    (run.folder / process_pool.STARTS_FILE).write_text(json.dumps([start]))
    assert process_pool.resource_usage(run.folder).seconds == 0
    run.log.touch()
    os.utime(run.log, (1030, 1030))
    assert process_pool.resource_usage(run.folder).seconds == 30
    process_pool._note_start(run.folder, made_with)
    assert starts(run)[0]['end'] == 1030


def test_a_wait_of_the_caller_is_not_the_runs(run, stand_in):
    with process_pool.ProcessPool([stand_in.slot()]) as workers:
        workers.start(run)
        while 'end a' not in stand_in.events():
            time.sleep(0.02)
        time.sleep(2)
        assert [failure for _, failure in workers.collect_ended()] == [None]
    assert process_pool.resource_usage(run.folder).seconds < 2


def test_a_folder_without_a_start_took_nothing(tmp_path):
    assert process_pool.resource_usage(tmp_path) == process_pool.ResourceUsage(
        0, None, 0, None, None
    )


def test_memory_is_unknown_where_the_system_does_not_tell(
    run, stand_in, monkeypatch, tmp_path
):
    monkeypatch.setattr(process_pool, 'Path', lambda name: tmp_path / 'none')
    assert train(run, stand_in.slot()) is None
    assert process_pool.resource_usage(run.folder).peak_mib is None


def test_a_training_that_outlives_its_call_keeps_the_lock(
    run, stand_in, tmp_path, monkeypatch
):
    monkeypatch.setattr(lock, 'LOCK_TIMEOUT', 0)
    path = tmp_path / '.lock'
    workers = process_pool.ProcessPool([stand_in.slot(a=['never'])])
    with path.open('w') as held:
        assert lock.acquire_lock(held)
        workers.start(run)
    # This process has given it back; the training has not.
    with path.open('w') as second:
        assert not lock.acquire_lock(second)
        workers.__exit__()
        assert lock.acquire_lock(second)


def test_a_lock_is_waited_for(tmp_path):
    path = tmp_path / '.lock'
    script = (
        'import fcntl, sys, time; file = open(sys.argv[1], "w");'
        'fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); time.sleep(1)'
    )
    command = [sys.executable, '-c', script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with path.open('w') as file:
            assert lock.acquire_lock(file)


@pytest.mark.parametrize('none', ['no module', 'no file system'])
def test_without_locks_there_is_none(tmp_path, monkeypatch, none):
    class Refusing:
        LOCK_EX = LOCK_NB = 0

        @staticmethod
        def flock(*_):
            raise OSError('Function not implemented')

    fcntl = None if none == 'no module' else Refusing
    monkeypatch.setattr(lock, 'fcntl', fcntl)
    with (tmp_path / '.lock').open('w') as file:
        assert lock.acquire_lock(file)
