"""Refusals are a sentence, and nothing is measured."""

import runpy
import sys
from importlib.util import find_spec

import pytest
import torch

from mmdistill_tools.benchmark import BenchmarkError, peer
from mmdistill_tools.benchmark.arguments import parse, parse_switches

from ..helpers.configs import ROOT


@pytest.fixture
def tool(monkeypatch, capsys, tmp_path):
    """``tools/benchmark.py`` in an empty folder; returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        script = str(ROOT / 'tools' / 'benchmark.py')
        monkeypatch.setattr(sys, 'argv', [script, *arguments])
        runpy.run_path(script, run_name='__main__')
        return capsys.readouterr().out

    return run


def test_a_peer_that_is_missing_is_named(tool, monkeypatch):
    monkeypatch.setattr(peer, 'find_spec', lambda name: None)
    message = (
        '^benchmark: --peer mmrazor: mmrazor is not installed here. Get it '
        r'with: pip install --no-deps mmrazor==1\.0\.0 ordered-set$'
    )
    for mode in ('losses', 'step', 'memory'):
        with pytest.raises(SystemExit, match=message):
            tool(mode, '--quick', '--peer', 'mmrazor')


def test_a_peer_that_does_not_import_is_named(monkeypatch):
    monkeypatch.setattr(peer, 'find_spec', lambda name: object())
    monkeypatch.setitem(sys.modules, 'mmrazor', None)
    with pytest.raises(
        BenchmarkError, match=r'it does not import: .* Expected 1'
    ):
        peer.load()


def test_stand_ins_are_there_while_they_are_needed():
    before = sys.modules.copy(), sys.meta_path.copy()
    with peer.stand_ins():
        for name in peer.LEFT_OUT:
            module = sys.modules[name]
            assert isinstance(module.Anything, type)
            assert module.Anything is not module.Anything
            with pytest.raises(AttributeError, match='__file__'):
                module.__file__  # noqa: B018
    with pytest.raises(KeyError, match='fails'), peer.stand_ins():
        raise KeyError('fails')
    assert (sys.modules, sys.meta_path) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_missing_is_named(tool):
    with pytest.raises(SystemExit, match=r'--device cuda: torch sees no GPU'):
        tool('step', '--device', 'cuda')


@pytest.mark.parametrize('name', ['rounds', 'threads', 'batch'])
@pytest.mark.parametrize('count', ['0', '-1', '1.5'])
def test_no_rounds_are_refused(name, count, capsys):
    with pytest.raises(SystemExit, match='2'):
        parse('', ['step', f'--{name}={count}'])
    assert (
        f'--{name}: must be 1 or more, got {count}' in capsys.readouterr().err
    )


def test_switches_are_read():
    assert parse_switches('precision=bf16,fold_bn=True, a=3') == dict(
        precision='bf16', fold_bn=True, a=3
    )


@pytest.mark.parametrize('text', ['', ',', 'fold_bn', '=1', 'a=', '1b=2'])
def test_other_switches_are_refused(text, capsys):
    with pytest.raises(SystemExit, match='2'):
        parse('', ['step', '--switches', text])
    assert 'is not key=value. Expected settings' in capsys.readouterr().err


@pytest.mark.parametrize('switches', ['speed=11', 'precision=fp8'])
def test_a_switch_that_no_teacher_has_is_named(tool, switches):
    message = rf'mmdistill_dense, {switches} cannot be built: .* takes keys of'
    arguments = ('--quick', '--model', 'pspnet', '--switches', switches)
    with pytest.raises(SystemExit, match=message):
        tool('step', *arguments)


def test_a_host_that_needs_single_precision_is_named(tool):
    options = ('--quick', '--model', 'mask-rcnn', '--precision', 'bf16')
    message = r'student does not run in torch\.bfloat16 on cpu: expected'
    with pytest.raises(SystemExit, match=message):
        tool('step', *options)


def test_a_report_needs_results(tool):
    with pytest.raises(SystemExit, match=r'benchmark: none\.json cannot be'):
        tool('report', 'none.json')


@pytest.mark.skipif(
    find_spec('mmrazor') is not None, reason='mmrazor is installed'
)
def test_the_peer_is_not_needed():
    assert 'mmrazor' not in sys.modules
