"""The whole demo on a handful of pictures and iterations, and again."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config

from mmdistill_dense.datasets import shapes
from mmdistill_tools.demo.comparisons import MODELS, ROLES

ROOT = Path(__file__).parents[2]


def figures(method, *kinds):
    return sorted(
        f'{name}_{method}_{kind}.png'
        for name in MODELS
        for kind in ('classes', 'curves', 'examples', 'scores', *kinds)
    )


def demo(work_dir, *options):
    done = subprocess.run(
        [sys.executable, ROOT / 'tools' / 'demo.py', '--length', '0.01']
        + ['--work-dir', work_dir, *options],
        # Another folder: nothing is found relative to the checkout.
        cwd=work_dir.parent,
        env={
            **os.environ,
            'PYTHONPATH': str(ROOT),
            'CUDA_VISIBLE_DEVICES': '',
        },
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Work dir and output; the pictures are few, so they are there before."""
    work_dir = tmp_path_factory.mktemp('demo') / 'work'
    shapes.write_dataset(work_dir / 'data', train=16, val=6)
    return work_dir, demo(work_dir)


def results_of(work_dir):
    runs = json.loads((work_dir / 'results.json').read_text())['runs']
    return {run['row']: run for run in runs}


@pytest.mark.slow
def test_everything_is_made(made):
    work_dir, (code, out, err) = made
    assert code == 0, err
    found = {path.name: path for path in work_dir.glob('figures/*cwd*')}
    assert sorted(found) == figures('cwd')
    for path in found.values():
        assert cv2.imread(str(path)).std() > 5
    results = results_of(work_dir)
    for name, title in MODELS.items():
        rows = [results[f'{name}/{role}'] for role in ROLES[:2] + ('cwd',)]
        teacher, student, distilled = rows
        assert f'| {title}, CWD |' in out
        assert f'{title}, CWD: ' in out
        for key in ('parameters', 'flops'):
            assert distilled[key] == student[key] < teacher[key] / 2


@pytest.mark.slow
@pytest.mark.parametrize('name', MODELS)
def test_the_student_is_its_hosts(made, name):
    work_dir, (_, out, _) = made
    folder = work_dir / 'students' / f'{name}_cwd'
    assert {path.name for path in folder.iterdir()} == {
        'student.pth',
        'student.py',
        'use_student.py',
    }
    cfg = Config.fromfile(folder / 'student.py')
    text = (folder / 'student.py').read_text()
    assert 'mmdistill_dense' not in text
    assert 'mmdistill_dense' not in (folder / 'use_student.py').read_text()
    assert f'stock config, {cfg.default_scope} alone' in out


@pytest.mark.slow
def test_a_second_call_trains_nothing_again(made):
    work_dir, _ = made
    weights = sorted(work_dir.rglob('iter_*.pth'))
    before = [path.stat().st_mtime_ns for path in weights]
    # One run is as if it had been ended while it wrote its checkpoint.
    run = work_dir / 'pspnet' / 'student' / 'seed_0'
    (last,) = run.glob('iter_*.pth')
    last.write_bytes(last.read_bytes()[:-100])
    code, out, err = demo(work_dir)
    assert code == 0, err
    assert f'PSPNet student, seed 0: {last.name} of an earlier call' in out
    assert 'PSPNet student, seed 0: loss' in out
    assert 'Mask R-CNN student, seed 0: loss' not in out
    kept = [p for p in weights if p != last]
    after = [path.stat().st_mtime_ns for path in kept]
    assert after == [
        t for t, p in zip(before, weights, strict=True) if p != last
    ]
    assert last.exists()


@pytest.mark.slow
def test_another_method_shares_teachers_and_students(made):
    work_dir, _ = made
    shared = sorted(work_dir.rglob('iter_*.pth'))
    before = [path.stat().st_mtime_ns for path in shared]
    code, out, err = demo(work_dir, '--method', 'maskd')
    assert code == 0, err
    assert [path.stat().st_mtime_ns for path in shared] == before
    found = {path.name: path for path in work_dir.glob('figures/*maskd*')}
    assert sorted(found) == figures('maskd', 'masks', 'tokens')
    for path in found.values():
        assert cv2.imread(str(path)).std() > 10
    for name, title in MODELS.items():
        # Fresh tokens attend everywhere alike, on each of the levels.
        levels = 5 if name == 'mask-rcnn' else 1
        dice = re.search(f'{title} tokens: .* masks fell from ([0-9.]+)', out)
        assert 0.9 * levels < float(dice[1]) <= levels
        weights = work_dir / 'students' / f'{name}_maskd'
        assert (weights / 'student.pth').exists()


@pytest.mark.slow
def test_pre_training_shares_the_segmentors(made):
    work_dir, _ = made
    shared = sorted(work_dir.rglob('iter_*.pth'))
    before = [path.stat().st_mtime_ns for path in shared]
    code, out, err = demo(work_dir, '--method', 'pcd')
    assert code == 0, err
    assert [path.stat().st_mtime_ns for path in shared] == before
    assert 'Mask R-CNN has no part in METHOD=pcd' in out
    found = {path.name: path for path in work_dir.glob('figures/*pcd*')}
    kinds = ('classes', 'curves', 'examples', 'pretraining', 'scores')
    assert sorted(found) == [f'pspnet_pcd_{kind}.png' for kind in kinds]
    for path in found.values():
        assert cv2.imread(str(path)).std() > 10
    results = results_of(work_dir)
    distilled, student = (results[f'pspnet/{r}'] for r in ('pcd', 'student'))
    assert distilled['flops'] == student['flops']
    assert 'PSPNet pre-training, without labels: cells' in out
    check_backbone(work_dir, out)


def check_backbone(work_dir, out):
    """It is what the student has started from, and is loaded as such."""
    folder = work_dir / 'students' / 'pspnet_pcd'
    assert f'{folder / "backbone.pth"}: its backbone' in out
    assert 'iter_' not in (folder / 'student.py').read_text()
    cfg = Config.fromfile(folder / 'backbone.py')
    assert cfg.model.backbone.init_cfg.prefix == 'backbone.'
    content = torch.load(folder / 'backbone.pth', weights_only=True)
    (run,) = work_dir.glob('pspnet/pretraining/*/iter_*.pth')
    trained = torch.load(run, weights_only=False)['state_dict']
    assert all(key.startswith('backbone.') for key in content['state_dict'])
    for key, value in content['state_dict'].items():
        assert torch.equal(value, trained[key])
