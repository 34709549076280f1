"""The files of each earlier version, copied for a test."""

import os
import runpy
import shutil
import signal
import sys

import pytest
from mmengine.logging import MessageHub
from mmengine.visualization import Visualizer

from ..helpers.tool_runs import ROOT, environment
from .runs import FILES


@pytest.fixture(params=sorted(path.name for path in FILES.iterdir()))
def saved(request, tmp_path, monkeypatch):
    """Work in a copy of one version's files, which may be written to."""
    folder = tmp_path / 'saved'
    shutil.copytree(FILES / request.param, folder)
    monkeypatch.chdir(folder)
    yield folder
    MessageHub._instance_dict.clear()
    Visualizer._instance_dict.clear()


@pytest.fixture
def tool(monkeypatch, capsys):
    """``tool('study.py', ...)``: run a script; returns what it printed."""
    handler = signal.getsignal(signal.SIGTERM)
    for key in ('PYTHONPATH', 'OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES'):
        monkeypatch.setitem(os.environ, key, environment()[key])

    def run(name, *arguments):
        script = str(ROOT / 'tools' / name)
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        runpy.run_path(script, run_name='__main__')
        return capsys.readouterr().out

    yield run
    signal.signal(signal.SIGTERM, handler)
