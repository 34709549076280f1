"""The check for GPUs: all of it, tiny, on a CPU; and how its parts end."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ..helpers.configs import ROOT

SCRIPT = ROOT / 'tools' / 'dev' / 'gpu_check.py'


@pytest.fixture
def gpu_check(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import gpu_check

    yield gpu_check
    for name in [x for x in sys.modules if x.startswith('gpu_')]:
        del sys.modules[name]


@pytest.fixture
def check(gpu_check, tmp_path):
    """What runs commands of a part that has a minute."""
    args = argparse.Namespace(wheels=None, dry_run=True, out=tmp_path / 'out')
    check = gpu_check.Check(args, tmp_path)
    check.deadline = time.monotonic() + 60
    return check


@pytest.fixture
def main(gpu_check, monkeypatch, tmp_path):
    """Run the script with other parts; its exit code, and what it wrote."""

    def run(parts, *options):
        monkeypatch.setattr(gpu_check, 'PARTS', parts)
        out = tmp_path / 'out'
        arguments = ['gpu_check.py', '--out', str(out), *options]
        monkeypatch.setattr(sys, 'argv', arguments)
        with pytest.raises(SystemExit, match=r'^[01]$') as ended:
            gpu_check.main()
        report = json.loads((out / 'gpu_check.json').read_text())
        return ended.value.code, report['parts']

    return run


@pytest.mark.slow
def test_every_part_runs_dry_on_a_cpu(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, '--dry-run', '--no-peer', '--out', tmp_path],
        cwd=tmp_path,
        env=os.environ | dict(CUDA_VISIBLE_DEVICES='', PYTHONWARNINGS=''),
        capture_output=True,
        text=True,
    )
    log = (tmp_path / 'gpu_check.log').read_text()
    assert done.returncode == 0, done.stdout + log[-3000:]
    report = json.loads((tmp_path / 'gpu_check.json').read_text())
    assert report['dry_run']
    parts = {part['name']: part for part in report['parts']}
    assert list(parts) == [
        *('environment', 'kernels', 'losses', 'step-fp32', 'step-tf32'),
        *('step-bf16', 'step-fp16', 'memory', 'teacher', 'trainings'),
        'distil',
    ]
    assert {part['status'] for part in parts.values()} == {'passed'}
    assert parts['environment']['facts']['torch'] == torch.__version__
    assert parts['kernels']['facts']['passed'] > 0
    assert set(parts['losses']['facts']) == {
        f'losses/{name}' for name in ('cwd-neck', 'cwd-logits', 'maskd', 'pcd')
    }
    for name in ('step-tf32', 'step-bf16', 'step-fp16'):
        rows = parts[name]['facts']['step/pspnet']
        assert {'student', 'floor', 'mmdistill_dense'} < set(rows)
        assert all(row['ms'] > 0 for row in rows.values())
    assert (
        parts['memory']['facts']['memory/pspnet']['mmdistill_dense']['peak']
        > 0
    )
    found = parts['trainings']['facts']
    assert found['resumed'] == dict(first=2, last=2)
    assert found['mIoU_on_cpu'] == found['mIoU']
    assert parts['distil']['facts']['iterations'] == 2
    text = (tmp_path / 'gpu_check.txt').read_text()
    assert all(f'\n{name}: passed, ' in text for name in parts)


def test_what_is_left_of_the_whole_limits_a_part(gpu_check, check):
    end = time.monotonic() + 50
    assert gpu_check.run_part(check, 'kernels', end - 49)['limit'] <= 1
    late = gpu_check.run_part(check, 'environment', end - 100)
    assert (late['status'], late['limit']) == ('cut off', 0)
    assert late['seconds'] < 30


def test_the_next_part_goes_on_and_the_exit_code_tells(gpu_check, main):
    def fails(check):
        check.facts['before'] = 1
        raise KeyError('x')

    def skips(check):
        raise gpu_check.PartSkipped('mmrazor is not here')

    def works(check):
        return dict(found=2)

    parts = dict(fails=(fails, 1), skips=(skips, 1), works=(works, 1))
    code, outcomes = main(parts)
    assert code == 1
    ends = [(x['name'], x['status'], x['facts']) for x in outcomes]
    assert ends == [
        ('fails', 'failed', dict(before=1)),
        ('skips', 'skipped', {}),
        ('works', 'passed', dict(found=2)),
    ]
    assert outcomes[0]['why'] == "KeyError: 'x'"
    assert main(dict(works=(works, 1)))[0] == 0
    assert main(dict(works=(works, 1), skips=(skips, 1)))[0] == 1


def test_a_part_ends_with_its_time_and_leaves_no_process(main, tmp_path):
    pid = tmp_path / 'pid'

    def endless(check):
        check.run('bash', '-c', f'sleep 600 & echo $! >{pid}; wait')

    start = time.monotonic()
    code, (outcome,) = main(dict(endless=(endless, 2)))
    assert time.monotonic() - start < 30
    assert (code, outcome['status']) == (1, 'cut off')
    assert outcome['why'].startswith('after 2 s, in: bash -c')
    stat = Path('/proc', pid.read_text().strip(), 'stat')
    # Gone, or a zombie until it is collected.
    assert not stat.exists() or ') Z ' in stat.read_text()


def test_what_a_command_printed_last_is_the_reason(gpu_check, check):
    code = "import sys; print('one'); sys.exit('two words')"
    with pytest.raises(gpu_check.PartFailed, match=r'exit code 1: two words$'):
        check.python('-c', code)
    log = check.log.read_text()
    with pytest.raises(gpu_check.PartFailed, match=r'exit code 3: $'):
        check.run('bash', '-c', 'exit 3')
    assert '$ ' in log
    assert 'one\n' in log


def test_a_missing_package_is_named(gpu_check, check, monkeypatch):
    import gpu_measuring

    monkeypatch.setattr(gpu_measuring, 'PACKAGES', ('not_there',))
    message = r'^not_there is not installed here\. Put it'
    with pytest.raises(gpu_check.PartFailed, match=message):
        gpu_check.environment(check)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu_nothing_else_runs(gpu_check, main):
    parts = dict(environment=gpu_check.PARTS['environment'], other=(dict, 1))
    code, outcomes = main(parts)
    assert code == 1
    assert [x['name'] for x in outcomes] == ['environment']
    assert 'sees no GPU here. --dry-run tries every' in outcomes[0]['why']


@pytest.mark.parametrize('option', ['wheels', 'data'])
def test_a_folder_that_is_not_there_is_named(option, tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, f'--{option}', tmp_path / 'no'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert f'--{option} {tmp_path}/no: there is no such folder.' in done.stderr


def test_parts_come_with_what_they_need(gpu_check):
    assert gpu_check.chosen(['distil']) == ['environment', 'teacher', 'distil']
    assert gpu_check.chosen(None) == list(gpu_check.PARTS)


def test_a_step_that_waits_more_than_the_floor_fails(gpu_check):
    import gpu_measuring

    def section(count):
        counts = dict(floor=3, mmdistill_dense=count)
        rows = [
            dict(name=k, seconds=[1], bytes={}, about=dict(synchronizations=v))
            for k, v in counts.items()
        ]
        return dict(name='step/pspnet', rows=rows)

    gpu_measuring.check_synchronizations(section(count=3))
    with pytest.raises(
        gpu_check.PartFailed, match=r'mmdistill_dense waits .* 4 times'
    ):
        gpu_measuring.check_synchronizations(section(count=4))
