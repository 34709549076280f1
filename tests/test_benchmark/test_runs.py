"""Each mode from its command line to its file, at small sizes."""

import os
import runpy
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from mmdistill_tools.benchmark import peer
from mmdistill_tools.benchmark.arguments import INSTALL
from mmdistill_tools.benchmark.columns import table_of
from mmdistill_tools.benchmark.measurements import read_report
from mmdistill_tools.benchmark.precision import float32_products

from ..helpers.configs import ROOT

SCRIPT = str(ROOT / 'tools' / 'benchmark.py')
needs_peer = pytest.mark.skipif(
    find_spec('mmrazor') is None,
    reason=f'mmrazor is not installed: {INSTALL}',
)


@pytest.fixture
def measured(monkeypatch, capsys, tmp_path):
    """The report of a quick run, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(mode, *arguments):
        options = ['--quick', '--rounds', '2', '--out', 'x.json', *arguments]
        monkeypatch.setattr(sys, 'argv', [SCRIPT, mode, *options])
        runpy.run_path(SCRIPT, run_name='__main__')
        return read_report(tmp_path / 'x.json'), capsys.readouterr().out

    return run


def check_common(report, mode, printed):
    assert report.mode == mode
    assert report.command.startswith(f'python tools/benchmark.py {mode} ')
    assert report.settings['quick']
    assert report.settings['seed'] == 0
    assert report.machine['cores'] >= 1
    assert report.machine['threads'] >= 1
    assert report.machine['load_before'] >= 0
    assert {'torch', 'mmcv', 'mmengine', 'mmdet', 'mmseg'} <= set(
        report.versions
    )
    assert 'Written: x.json' in printed
    for section in report.sections:
        assert table_of(section)


def names(section):
    return [row.name for row in section.rows]


def test_step_of_a_detector(measured):
    switches = ('--switches', 'fold_bn=True')
    report, printed = measured('step', '--model', 'mask-rcnn', *switches)
    check_common(report, 'step', printed)
    (section,) = report.sections
    assert names(section) == [
        'student',
        'floor',
        'mmdistill_dense',
        'mmdistill_dense, fold_bn=True',
    ]
    assert all(len(row.seconds) == 2 for row in section.rows)
    distilled, stock = (
        section.row(name).about['first_losses']
        for name in ('mmdistill_dense', 'student')
    )
    assert distilled['loss_mask'] == pytest.approx(stock['loss_mask'])
    assert distilled['distillation'] > 0 == stock['distillation']
    assert '/ floor' in printed
    assert sum(section.sizes['instances']) > 0


def test_memory_of_a_segmentor(measured):
    report, printed = measured('memory', '--model', 'pspnet')
    check_common(report, 'memory', printed)
    (section,) = report.sections
    assert names(section) == ['student', 'floor', 'mmdistill_dense']
    student, floor, distilled = (row.bytes for row in section.rows)
    assert 0 < student['weights'] < floor['weights']
    # No further weights, and little of other things.
    assert abs(distilled['weights'] - floor['weights']) < 2**18
    assert distilled['peak'] >= student['peak'] > distilled['net'] > 0


@pytest.mark.slow
def test_losses(measured):
    report, printed = measured('losses')
    check_common(report, 'losses', printed)
    assert [section.name for section in report.sections] == [
        'losses/cwd-neck',
        'losses/cwd-logits',
        'losses/maskd',
        'losses/pcd',
        'scaling/cwd',
        'scaling/pixel-wise-kl',
        'scaling/maskd',
        'scaling/pcd',
    ]
    maskd = report.sections[2]
    # The plain form makes six maps of each.
    feature = maskd.row('mmdistill_dense').bytes['feature']
    assert maskd.row('plain form').bytes['extra'] > 6 * feature
    axes = [row.about['axis'] for row in report.sections[4].rows]
    assert list(dict.fromkeys(axes)) == ['size', 'N', 'levels']


def test_losses_without_many_sizes(measured):
    report, _ = measured('losses', '--no-scaling', '--precision', 'tf32')
    assert report.settings['precision'] == 'tf32'
    assert {x.name.partition('/')[0] for x in report.sections} == {'losses'}
    assert len(report.sections) == 4


@pytest.mark.parametrize(
    ('precision', 'matmul', 'convolution'),
    [('fp32', False, False), ('tf32', True, True), ('bf16', False, True)],
)
def test_products_of_float32(precision, matmul, convolution):
    def allowed():
        backends = torch.backends
        return backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32

    default = False, True
    assert allowed() == default
    with float32_products(precision):
        assert allowed() == (matmul, convolution)
        with float32_products('fp32'):
            assert allowed() == (False, False)
        assert allowed() == (matmul, convolution)
    assert allowed() == default


def test_low_precision_is_that_of_all(measured):
    options = [
        '--model',
        'pspnet',
        '--precision',
        'bf16',
        '--size',
        '32',
        '48',
    ]
    report, _ = measured('step', *options)
    (section,) = report.sections
    assert report.settings['precision'] == 'bf16'
    assert (section.sizes['height'], section.sizes['width']) == (32, 48)


@needs_peer
@pytest.mark.parametrize('mode', ['step', 'memory', 'losses'])
def test_a_peer_is_measured_beside(mode, tmp_path):
    """In a process of its own: the peer registers a lot."""
    out = tmp_path / 'x.json'
    command = [sys.executable, SCRIPT, mode, '--quick', '--rounds', '2']
    done = subprocess.run(
        [*command, '--peer', 'mmrazor', '--out', str(out)],
        capture_output=True,
        text=True,
        env=os.environ | dict(PYTHONWARNINGS='ignore'),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = read_report(out)
    assert report.peer['version'] == '1.0.0'
    assert report.versions['mmrazor'] == '1.0.0'
    for name in report.peer['left_out']:
        assert name in done.stdout
    rows = [name for section in report.sections for name in names(section)]
    if mode == 'losses':
        assert rows.count('mmrazor') == 2
    else:
        assert rows.count(peer.SINGLE) == 2
        assert rows.count(peer.FPN) == 1
