"""The whole demo on a handful of pictures and iterations, and again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config

from mmdistill_dense.datasets import shapes
from mmdistill_tools.demo.trios import MODELS, ROLES

ROOT = Path(__file__).parents[2]


def figures(method, *kinds):
    return sorted(
        f'{name}_{method}_{kind}.png'
        for name in MODELS
        for kind in ('curves', 'examples', 'gain', *kinds)
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


@pytest.mark.slow
def test_everything_is_made_before_the_verdict(made):
    work_dir, (code, out, err) = made
    # So few iterations teach a teacher nothing, and the demo says so.
    assert code == 1, err
    said = err.splitlines()[-1]  # warnings may come before it
    assert said.startswith('demo: the PSPNet teacher learnt too little'), err
    assert 'Mask R-CNN teacher learnt too little to teach: expected' in said
    assert 'Traceback' not in err
    for title, _ in MODELS.values():
        for role in ROLES:
            assert f'{title} {role}' in out
    found = {path.name: path for path in work_dir.glob('figures/*cwd*')}
    assert sorted(found) == figures('cwd')
    for path in found.values():
        assert cv2.imread(str(path)).std() > 10
    results = json.loads((work_dir / 'results_cwd.json').read_text())
    for name in MODELS:
        found = results['studies'][name]
        student, distilled = found['student'], found['distilled']
        assert distilled['parameters'] == student['parameters']
        assert distilled['flops'] == student['flops']
        teacher = found['teacher']
        assert teacher['parameters'] > 2 * student['parameters']
        assert student['images_per_second'] > 0


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
    code, out, _ = demo(work_dir)
    assert code == 1
    assert f'PSPNet student: {last.name} of an earlier call was not' in out
    assert 'PSPNet student: loss' in out
    assert 'PSPNet teacher: loss' not in out
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
    assert code == 1, err
    assert 'learnt too little to teach' in err.splitlines()[-1]
    assert [path.stat().st_mtime_ns for path in shared] == before
    found = {path.name: path for path in work_dir.glob('figures/*maskd*')}
    assert sorted(found) == figures('maskd', 'masks', 'tokens')
    for path in found.values():
        assert cv2.imread(str(path)).std() > 10
    results = json.loads((work_dir / 'results_maskd.json').read_text())
    for name, (title, _) in MODELS.items():
        tokens = results['studies'][name]['tokens']
        # Fresh tokens attend everywhere alike, on each of the levels.
        levels = 5 if name == 'mask-rcnn' else 1
        assert 0.9 * levels < tokens['first'] <= levels
        assert f'{title} tokens: the Dice of their masks' in out
        weights = work_dir / 'students' / f'{name}_maskd'
        assert (weights / 'student.pth').exists()


@pytest.mark.slow
def test_pre_training_shares_the_segmentors(made):
    work_dir, _ = made
    shared = sorted(work_dir.rglob('iter_*.pth'))
    before = [path.stat().st_mtime_ns for path in shared]
    code, out, err = demo(work_dir, '--method', 'pcd')
    assert code == 1, err
    said = err.splitlines()[-1]
    assert said.startswith('demo: the PSPNet teacher learnt too little'), err
    assert [path.stat().st_mtime_ns for path in shared] == before
    assert 'Mask R-CNN has no part in METHOD=pcd' in out
    found = {path.name: path for path in work_dir.glob('figures/*pcd*')}
    kinds = ('curves', 'examples', 'gain', 'pretraining')
    assert sorted(found) == [f'pspnet_pcd_{kind}.png' for kind in kinds]
    for path in found.values():
        assert cv2.imread(str(path)).std() > 10
    results = json.loads((work_dir / 'results_pcd.json').read_text())
    (study,) = results['studies'].values()
    assert -1 <= study['pretraining']['positive'][0] <= 1
    assert study['distilled']['flops'] == study['student']['flops']
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
