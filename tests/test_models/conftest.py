"""Small teachers, whose checkpoints are written once."""

import logging

import pytest
from mmengine.logging import MMLogger

from ..helpers.models import pspnet, save_weights, wide_mask_rcnn


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


@pytest.fixture(scope='session')
def det_teacher(teacher_of):
    return teacher_of(wide_mask_rcnn)


@pytest.fixture(scope='session')
def seg_teacher(teacher_of):
    return teacher_of(pspnet, depth=50)
