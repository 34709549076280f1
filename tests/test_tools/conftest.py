"""Pairs of small models as config files, and the tool that drafts."""

import pytest
from mmengine.config import Config

from ..helpers.models import mask_rcnn, pspnet, wide_mask_rcnn
from .pairs import run_tool, write_config


@pytest.fixture
def draft(monkeypatch, capsys, tmp_path):
    """Run the tool in an empty folder; return its output and the config."""
    folder = tmp_path / 'project'
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(student, teacher, *args, out='my.py'):
        text = run_tool(
            *(capsys, 'new_distillation', student, teacher),
            *('--out', out, *args),
        )
        monkeypatch.chdir(tmp_path)  # a start from elsewhere
        cfg = Config.fromfile(folder / out)
        monkeypatch.chdir(folder)
        return text, cfg

    return call


@pytest.fixture
def stock(tmp_path):
    """Write small stock configs below ``configs/``."""
    builds = dict(
        wide=wide_mask_rcnn,
        narrow=mask_rcnn,
        seg=pspnet,
        big=lambda: pspnet(depth=50),
        other=lambda: pspnet(depth=50, classes=7),
    )

    def make(name, **entries):
        path = tmp_path / 'configs' / f'{name}.py'
        return write_config(path, builds[name](), **entries)

    return make
