"""Small teachers, whose checkpoints are written once."""

import logging

import pytest
from mmengine.logging import MessageHub, MMLogger

from ..helpers.models import mask_rcnn, pspnet, save_weights


@pytest.fixture(autouse=True)
def _no_time_is_told():
    """Keep the iteration that one test tells out of the next."""
    yield
    MessageHub._instance_dict.clear()


@pytest.fixture(scope='session')
def teacher_of(tmp_path_factory):
    """``teacher_of(build, **options)``: config and checkpoint of a model."""
    folder = tmp_path_factory.mktemp('teachers')

    def make(build, **options):
        cfg = build(**options)
        key = f'{build.__name__}{sorted(options.items())}'
        path = folder / f'{build.__name__}-{abs(hash(key))}.pth'
        if not path.exists():
            logger = MMLogger.get_current_instance()
            level = logger.level
            logger.setLevel(logging.WARNING)
            save_weights(cfg, path)
            logger.setLevel(level)
        return dict(cfg=cfg, checkpoint=str(path))

    return make


def wide_mask_rcnn(**options):
    """A Mask R-CNN whose neck has 48 channels, the student's 32."""
    widths = ['neck.out_channels', 'rpn_head.in_channels']
    for kind in ('bbox', 'mask'):
        widths.append(f'roi_head.{kind}_roi_extractor.out_channels')
        widths.append(f'roi_head.{kind}_head.in_channels')
    return mask_rcnn(**{**dict.fromkeys(widths, 384), **options})


@pytest.fixture(scope='session')
def det_teacher(teacher_of):
    return teacher_of(wide_mask_rcnn)


@pytest.fixture(scope='session')
def seg_teacher(teacher_of):
    return teacher_of(pspnet, depth=50)
