"""Studies on Slurm, with stand-ins for ``sbatch`` and ``squeue`` on PATH.

No cluster was at hand. The stand-in of sbatch notes how it was called and
puts the tasks in a queue, which the tests work off.
"""

import json
import os
import shlex
import subprocess
import sys
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from mmdistill_tools.runs import TrainingError, training
from mmdistill_tools.study import StudyError, session, slurm
from mmdistill_tools.study.results import ResultsFile

from ..helpers.tool_runs import environment
from ..helpers.trainings import TrainStandIn
from .conftest import result_of
from .test_study_runs import STUDY, write_study

SBATCH = f"""#!{sys.executable}
import json, os, subprocess, sys
from pathlib import Path
home = Path(os.environ['STAND_IN'])
with (home / 'calls').open('a') as file:
    print(json.dumps(sys.argv[1:]), file=file)
job = 100 + len((home / 'calls').read_text().splitlines())
(array,) = [a for a in sys.argv if a.startswith('--array=0-')]
last = int(array.removeprefix('--array=0-').partition('%')[0])
for index in range(last + 1):
    if 'RUN' in os.environ:
        env = dict(os.environ, SLURM_ARRAY_TASK_ID=str(index))
        subprocess.run(['bash', '-c', sys.argv[-1]], env=env, check=True)
    else:
        with (home / 'queue').open('a') as file:
            print(f'{{job}}_{{index}}', file=file)
if (home / 'refuses').exists():
    sys.exit('sbatch: error: invalid partition')
print(f'{{job}};my_cluster')
"""
SQUEUE = """#!/usr/bin/env bash
if [ -e "$STAND_IN/queue" ]; then cat "$STAND_IN/queue"; fi
"""


class Cluster:
    """What was submitted, and what works it off."""

    def __init__(self, folder):
        self.folder = folder
        self._queue = folder / 'queue'

    def jobs(self):
        """Options and keys of all jobs so far, by the job's number."""
        lines = (self.folder / 'calls').read_text().splitlines()
        calls = [json.loads(line) for line in lines]
        keys = [
            shlex.split(call[-1])[shlex.split(call[-1]).index('--task') + 1 :]
            for call in calls
        ]
        return {
            str(101 + i): (call[:-2], found)
            for i, (call, found) in enumerate(zip(calls, keys, strict=True))
        }

    def work_off(self, study, monkeypatch):
        """Run what is in the queue, in its order."""
        for task in self._queue.read_text().splitlines():
            job, index = task.split('_')
            monkeypatch.setenv('SLURM_ARRAY_TASK_ID', index)
            try:
                slurm.run_task(study, self.jobs()[job][1])
            except TrainingError:
                break  # Slurm keeps back what needs it
        self._queue.unlink()


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Commands of Slurm on ``PATH``."""
    folder = tmp_path / 'cluster'
    folder.mkdir()
    for name, text in (('sbatch', SBATCH), ('squeue', SQUEUE)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}:{os.environ["PATH"]}')
    monkeypatch.setenv('STAND_IN', str(folder))
    for name in ('GPUS', 'CPUS_PER_TASK', 'SBATCH_ARGS', 'RUN'):
        monkeypatch.delenv(name, raising=False)
    return Cluster(folder)


@pytest.fixture
def call(read, tmp_path, monkeypatch):
    """Run a study on the cluster; returns what was printed."""
    stand_in = TrainStandIn(
        tmp_path / 'stand_in', tmp_path / 'work', monkeypatch
    )
    for key, value in stand_in.slot(failing='student').items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(training, 'POLL_SECONDS', 0.02)
    monkeypatch.setattr(session, 'measure', result_of)

    def run(content, at_once=None, wait=False):
        console = Console(file=StringIO(), width=300)
        slurm.run_on_slurm(read(content), at_once, wait, console)
        return console.file.getvalue()

    run.stand_in = stand_in
    return run


def test_runs_that_need_others_wait_for_their_tasks(
    call, content, cluster, tmp_path, monkeypatch
):
    monkeypatch.setenv('SBATCH_ARGS', '-p part --time=2:00:00')
    monkeypatch.setenv('CPUS_PER_TASK', '3')
    text = call(content, at_once=2)
    assert '3 runs in the queue of Slurm' in text
    (first, second), keys = zip(*cluster.jobs().values(), strict=True)
    # The distilled run's teacher comes first, as in the plan.
    assert keys == (['teacher/seed_0', 'student/seed_0'], ['distilled/seed_0'])
    assert first == [
        *('--parsable', '--requeue', '--open-mode=append', '--array=0-1%2'),
        '--job-name=my_study',
        f'--output={tmp_path}/work/slurm_%A_%a.log',
        *('--gres=gpu:1', '--cpus-per-task=3'),
        *('-p', 'part', '--time=2:00:00'),
    ]
    assert '--dependency=afterok:101_0' in second
    assert '--kill-on-invalid-dep=yes' in second


def test_what_the_queue_does_not_show_yet_has_not_failed(
    call, content, cluster
):
    (cluster.folder / 'squeue').write_text('#!/usr/bin/env bash\n')
    assert '3 runs in the queue of Slurm' in call(content)


def test_results_are_gathered_and_nothing_is_submitted_twice(
    call, content, cluster, read, results, monkeypatch
):
    monkeypatch.setenv('FAILING', 'nothing')
    call(content)
    again = call(content)
    assert '3 runs in the queue' in again
    assert len(cluster.jobs()) == 2
    cluster.work_off(read(content), monkeypatch)
    last = call(content)
    assert 'teacher, seed 0: mIoU 40.50' in last
    assert '0 runs in the queue' in last
    assert results() == ['distilled/0', 'student/0', 'teacher/0']
    assert len(cluster.jobs()) == 2
    assert call.stand_in.events().count('start teacher/seed_0') == 1


def test_a_task_that_failed_is_submitted_again(
    call, content, cluster, read, results, monkeypatch
):
    call(content)
    cluster.work_off(read(content), monkeypatch)  # the student fails
    text = call(content)
    assert results() == ['teacher/0']
    assert 'job 103: distilled/seed_0, student/seed_0' in text
    assert not any(o.startswith('--dep') for o in cluster.jobs()['103'][0])


def test_a_waiting_call_ends_with_the_failures(
    call, content, cluster, read, monkeypatch
):
    def sleep(_):
        cluster.work_off(read(content), monkeypatch)

    monkeypatch.setattr(slurm, 'time', SimpleNamespace(sleep=sleep))
    content['rows'].pop('distilled')
    with pytest.raises(StudyError, match=r'left no iter_4\.pth; see .*\.log'):
        call(content, wait=True)


def test_this_machine_keeps_off_runs_in_the_queue(
    call, content, cluster, read, monkeypatch
):
    call(content)
    with pytest.raises(StudyError, match=r'101_0, 101_1, 102_0\. Go on with'):
        slurm.check_not_queued(read(content))
    (cluster.folder / 'queue').unlink()
    slurm.check_not_queued(read(content))


def test_a_missing_slurm_is_named(call, content, monkeypatch, tmp_path):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(StudyError, match='slurm needs sbatch on PATH, as on'):
        call(content)


@pytest.mark.usefixtures('cluster')
def test_a_run_is_on_one_gpu(call, content, monkeypatch):
    monkeypatch.setenv('GPUS', '8')
    with pytest.raises(StudyError, match='GPUS=8 is too many: each run'):
        call(content)


def test_a_refusal_of_sbatch_is_passed_on(call, content, cluster):
    (cluster.folder / 'refuses').touch()
    with pytest.raises(
        StudyError, match=r'sbatch failed .* 1: .*invalid partition'
    ):
        call(content)


@pytest.mark.slow
@pytest.mark.usefixtures('cluster')
def test_tasks_are_plain_trainings(tmp_path):
    path = write_study(tmp_path)
    done = subprocess.run(
        [sys.executable, STUDY, path, '--launcher', 'slurm', '--wait'],
        env={**environment(), 'RUN': '1'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = ResultsFile(tmp_path / 'tiny.json')
    assert [r.row for r in found.results] == ['cwd', 'student', 'teacher']
    for result in found.results:
        assert result.command.startswith('python tools/train.py ')
        assert '--resume' in result.command
        assert result.starts == 1
    assert '| student |' in done.stdout
