"""One data set and one teacher of each host for all tests here."""

from functools import partial

import pytest

from ..helpers.datasets import write_dataset
from ..helpers.models import pspnet, save_weights, wide_mask_rcnn
from ..helpers.tool_runs import run_here


@pytest.fixture(scope='session')
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp('data') / 'shapes')


@pytest.fixture(scope='session')
def det_teacher(tmp_path_factory):
    """A Mask R-CNN whose neck is wider than the student's."""
    cfg = wide_mask_rcnn()
    path = tmp_path_factory.mktemp('teacher') / 'det.pth'
    return dict(cfg=cfg, checkpoint=save_weights(cfg, path))


@pytest.fixture(scope='session')
def seg_teacher(tmp_path_factory):
    """A PSPNet whose stages are wider than the student's."""
    cfg = pspnet(depth=50)
    path = tmp_path_factory.mktemp('teacher') / 'seg.pth'
    return dict(cfg=cfg, checkpoint=save_weights(cfg, path, scope='mmseg'))


@pytest.fixture
def export():
    """tools/export_student.py, called with these arguments."""
    return partial(run_here, 'export_student')
