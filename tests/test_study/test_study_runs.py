"""tools/study.py from its file to its results, with real trainings."""

import runpy
import signal
import subprocess
import sys
import time

import cv2
import pytest
import yaml
from mmengine.config import Config

from mmdistill_tools.study.results import ResultsFile

from ..helpers.datasets import write_dataset
from ..helpers.models import cwd, pspnet
from ..helpers.runs import distilled, run_config
from ..helpers.tool_runs import ROOT, environment

STUDY = ROOT / 'tools' / 'study.py'


def write_study(folder):
    """A teacher of 60 iterations, and a student of 4 with and without it."""
    data = write_dataset(folder / 'data')
    teacher = dict(cfg=str(folder / 'stock.py'), checkpoint='')
    models = dict(
        stock=pspnet(),
        cwd=distilled(pspnet(), teacher, dict(cwd=cwd('logits'))),
    )
    for name, model in models.items():
        cfg = run_config(model, data, folder, iters=4, save=4, val=True)
        Config(cfg).dump(folder / f'{name}.py')
    content = dict(
        metrics=dict(mIoU='mIoU', aAcc='aAcc'),
        baseline='student',
        seeds=[3],
        work_dir=str(folder / 'work'),
        rows=dict(
            teacher=dict(
                config=str(folder / 'stock.py'),
                options={
                    'train_cfg.max_iters': 60,
                    'train_cfg.val_interval': 60,
                    'default_hooks.checkpoint.interval': 5,
                },
            ),
            student=dict(config=str(folder / 'stock.py')),
            cwd=dict(
                config=str(folder / 'cwd.py'),
                options={'model.teacher.checkpoint': '${teacher}'},
            ),
        ),
    )
    path = folder / 'tiny.yaml'
    path.write_text(yaml.dump(content, sort_keys=False))
    return path


def start(path, *arguments):
    return subprocess.Popen(
        [sys.executable, str(STUDY), str(path), *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_a_study_that_is_interrupted_goes_on(tmp_path):
    path = write_study(tmp_path)
    folder = tmp_path / 'work' / 'teacher' / 'seed_3'
    with start(path) as first:
        # MMEngine writes the pointer when the checkpoint is whole.
        whole = folder / 'last_checkpoint'
        while first.poll() is None and not whole.exists():
            time.sleep(0.02)
        first.send_signal(signal.SIGINT)
        printed = first.communicate(timeout=60)[0]
    assert first.returncode == 130, printed
    assert 'interrupted; the same command goes on where it was' in printed
    assert not (tmp_path / 'tiny.json').exists()
    assert not (folder / 'iter_60.pth').exists()
    with start(path) as second:
        printed = second.communicate(timeout=120)[0]
    assert second.returncode == 0, printed
    assert '0 runs left' in printed
    check(ResultsFile(tmp_path / 'tiny.json'), folder)
    rows = ('student', 'cwd', 'teacher')
    with start(path, '--report', '--examples', *rows, '--images', '1') as last:
        printed = last.communicate(timeout=60)[0]
    assert last.returncode == 0, printed
    # Input, truth and three predictions, side by side.
    height, width = cv2.imread(str(tmp_path / 'tiny_examples.jpg')).shape[:2]
    assert width > 3 * height


def check(results, folder):
    """What the results hold, and that the teacher went on."""
    teacher, student, pupil = (
        results.get(row, 3) for row in ('teacher', 'student', 'cwd')
    )
    assert (teacher.starts, student.starts, pupil.starts) == (2, 1, 1)
    assert 'resumed epoch: 0, iter: ' in (folder / 'train.log').read_text()
    assert (teacher.length, student.length) == (60, 4)
    assert min(teacher.peak_mib, student.peak_mib) > 50
    for result in (teacher, student, pupil):
        assert set(result.scores) == {'mIoU', 'aAcc'}
        assert set(result.classes) == {'ground', 'square', 'bar', 'pole'}
        assert 0 < result.train_seconds < 200
        assert result.machine['runs_at_once'] == 1
        assert result.versions['mmdistill_dense']
    # What is tested is the plain student.
    assert (pupil.parameters, pupil.flops) == (
        student.parameters,
        student.flops,
    )
    assert f'model.teacher.checkpoint={folder}/iter_60.pth' in pupil.command
    log = folder.parents[1] / 'cwd' / 'seed_3' / 'train.log'
    assert 'Distillation:' in log.read_text()


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        (['none.yaml'], r'study: none\.yaml cannot be read as a study'),
        (['none.yaml', '--jobs', '0'], '2'),
    ],
)
def test_a_wrong_call_is_a_sentence(
    monkeypatch, tmp_path, arguments, match, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [str(STUDY), *arguments])
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit, match=match):
            runpy.run_path(str(STUDY), run_name='__main__')
    finally:
        signal.signal(signal.SIGTERM, handler)
    if '--jobs' in arguments:
        assert '--jobs must be 1 or more, got 0' in capsys.readouterr().err
