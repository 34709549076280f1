"""One data set and one teacher of each host for all tests here."""

import runpy
import sys

import pytest
from mmengine.logging import MessageHub
from mmengine.visualization import Visualizer

from ..helpers.datasets import write_dataset
from ..helpers.models import mask_rcnn, pspnet, save_weights
from ..helpers.tool_runs import ROOT


@pytest.fixture(autouse=True)
def _forget_runs():
    """Keep message hubs and visualizers of one test out of the next."""
    yield
    MessageHub._instance_dict.clear()
    Visualizer._instance_dict.clear()


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
def export(monkeypatch):
    """tools/export_student.py, called with these arguments."""

    def call(*args):
        script = str(ROOT / 'tools' / 'export_student.py')
        monkeypatch.setattr(sys, 'argv', [script, *map(str, args)])
        runpy.run_path(script, run_name='__main__')

    return call


def wide_mask_rcnn():
    """The neck's 48 channels are three halves of the student's 32."""
    return mask_rcnn(
        **{
            'neck.out_channels': 384,
            'rpn_head.in_channels': 384,
            'roi_head.bbox_roi_extractor.out_channels': 384,
            'roi_head.mask_roi_extractor.out_channels': 384,
            'roi_head.bbox_head.in_channels': 384,
            'roi_head.mask_head.in_channels': 384,
        }
    )
