"""The shell scripts, with stand-ins for Python and srun on ``PATH``.

What a stand-in is called with is written down, one argument a line. No
cluster was at hand: the Slurm scripts are tested up to the call of srun.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
STAND_IN = """#!/usr/bin/env bash
printf '%s\\n' "PYTHONPATH=$PYTHONPATH" "$@" >"$CALLED_WITH"
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Run a script in an empty folder; return what was called."""
    called_with = tmp_path / 'called_with'
    for name in ('python', 'srun'):
        path = tmp_path / 'bin' / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(STAND_IN)
        path.chmod(0o755)
    elsewhere = tmp_path / 'else where'
    elsewhere.mkdir()
    monkeypatch.setenv('PATH', f'{tmp_path}/bin:{os.environ["PATH"]}')
    monkeypatch.setenv('CALLED_WITH', str(called_with))
    for name in (
        *('PYTHON', 'PYTHONPATH', 'NNODES', 'NODE_RANK', 'MASTER_ADDR'),
        *('PORT', 'GPUS', 'GPUS_PER_NODE', 'CPUS_PER_TASK', 'SRUN_ARGS'),
        'SCRIPT',
    ):
        monkeypatch.delenv(name, raising=False)

    def run(script: Path, *args: str, **env: str) -> list[str]:
        subprocess.run(
            ['bash', script, *args],
            cwd=elsewhere,
            env={**os.environ, **env},
            check=True,
        )
        return called_with.read_text().splitlines()

    return run


def test_dist_train_starts_the_launcher(call):
    assert call(TOOLS / 'dist_train.sh', 'a config.py', '2') == [
        f'PYTHONPATH={TOOLS.parent}',
        '-m',
        'torch.distributed.run',
        '--nnodes=1',
        '--node_rank=0',
        '--master_addr=127.0.0.1',
        '--master_port=29500',
        '--nproc_per_node=2',
        str(TOOLS / 'train.py'),
        'a config.py',
        '--launcher',
        'pytorch',
    ]


def test_dist_test_passes_config_and_checkpoint(call):
    lines = call(TOOLS / 'dist_test.sh', 'c.py', 'a model.pth', '4', '--tta')
    assert '--nproc_per_node=4' in lines
    assert lines[lines.index(str(TOOLS / 'test.py')) + 1 :] == [
        'c.py',
        'a model.pth',
        '--launcher',
        'pytorch',
        '--tta',
    ]


@pytest.mark.parametrize(
    ('script', 'first'),
    [('dist_train.sh', ['c.py', '2']), ('dist_test.sh', ['c.py', 'm', '2'])],
)
def test_machines_and_port_come_from_the_environment(call, script, first):
    lines = call(
        TOOLS / script,
        *first,
        NNODES='3',
        NODE_RANK='1',
        MASTER_ADDR='10.0.0.7',
        PORT='29611',
    )
    assert lines[3:7] == [
        '--nnodes=3',
        '--node_rank=1',
        '--master_addr=10.0.0.7',
        '--master_port=29611',
    ]


ARGUMENTS = ['--work-dir', 'my runs/1', '--cfg-options', 'a.b="[1, 2]"', '*']


@pytest.mark.parametrize(
    ('script', 'first'),
    [
        ('dist_train.sh', ['c.py', '2']),
        ('dist_test.sh', ['c.py', 'm.pth', '2']),
        ('slurm_train.sh', ['part', 'job', 'c.py']),
        ('slurm_test.sh', ['part', 'job', 'c.py', 'm.pth']),
    ],
)
def test_arguments_survive_spaces_and_globs(call, script, first):
    lines = call(TOOLS / script, *first, *ARGUMENTS)
    assert lines[-len(ARGUMENTS) :] == ARGUMENTS


def test_what_is_on_the_python_path_stays_on_it(call):
    lines = call(TOOLS / 'dist_train.sh', 'c.py', '1', PYTHONPATH='/a:/b')
    assert lines[0] == f'PYTHONPATH={TOOLS.parent}:/a:/b'


def test_scripts_work_from_where_mim_keeps_them(call, tmp_path):
    installed = tmp_path / 'site packages' / '.mim' / 'tools'
    shutil.copytree(TOOLS, installed)
    lines = call(installed / 'dist_train.sh', 'c.py', '2')
    assert str(installed / 'train.py') in lines


def test_slurm_train_calls_srun(call):
    lines = call(
        TOOLS / 'slurm_train.sh',
        *('a part', 'a job', 'c.py', 'a dir', '--amp'),
        GPUS='16',
        CPUS_PER_TASK='3',
        SRUN_ARGS='--exclude=n1 --quotatype auto',
    )
    assert lines == [
        f'PYTHONPATH={TOOLS.parent}',
        *('-p', 'a part', '--job-name=a job'),
        *('--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8'),
        *('--cpus-per-task=3', '--kill-on-bad-exit=1'),
        *('--exclude=n1', '--quotatype', 'auto'),
        *('python', '-u', str(TOOLS / 'train.py'), 'c.py'),
        *('--launcher', 'slurm', '--work-dir', 'a dir', '--amp'),
    ]


@pytest.mark.parametrize(
    ('script', 'first'),
    [
        ('dist_train.sh', ['c.py', '2']),
        ('slurm_train.sh', ['part', 'job', 'c.py']),
    ],
)
def test_both_stages_can_be_launched(call, script, first):
    lines = call(TOOLS / script, *first, SCRIPT='train_maskd.py')
    assert str(TOOLS / 'train_maskd.py') in lines
    assert str(TOOLS / 'train.py') not in lines


@pytest.mark.parametrize(
    ('script', 'first'),
    [
        ('slurm_train.sh', ['part', 'job', 'c.py']),
        ('slurm_test.sh', ['part', 'job', 'c.py', 'm.pth']),
    ],
)
def test_slurm_asks_for_no_more_gpus_than_the_job_has(call, script, first):
    lines = call(TOOLS / script, *first, GPUS='2')
    assert {'--gres=gpu:2', '--ntasks=2', '--ntasks-per-node=2'} <= set(lines)


@pytest.mark.parametrize(
    ('script', 'missing'),
    [
        ('dist_train.sh', 'CONFIG PROCESSES'),
        ('dist_test.sh', 'CONFIG CHECKPOINT PROCESSES'),
        ('slurm_train.sh', 'PARTITION JOB_NAME CONFIG'),
        ('slurm_test.sh', 'PARTITION JOB_NAME CONFIG CHECKPOINT'),
    ],
)
def test_missing_arguments_get_a_usage_sentence(script, missing):
    done = subprocess.run(
        ['bash', TOOLS / script, 'only-one'], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith('usage: ')
    assert missing in done.stderr
