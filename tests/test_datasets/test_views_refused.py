"""What views are refused, when they are built and in use."""

import numpy as np
import pytest
from mmengine.dataset import Compose

from tests.helpers.views import CROP, OWN, build, results_of

FLIP = dict(type='RandomFlip', prob=0.5)
IMAGE = np.zeros((180, 240, 3), np.uint8)
REFUSED = [
    (dict(type='RandomResizedCrop', size=0), 'size .* got 0'),
    (dict(type='RandomResizedCrop', size=(8, 8, 8)), r'size .* \(8, 8, 8\)'),
    (dict(type='RandomResizedCrop', size=(8, 2.5)), r'size .* got 2\.5'),
    (dict(type='RandomResizedCrop', size=8, scale=(0.5, 0.2)), 'scale must'),
    (dict(type='RandomResizedCrop', size=8, scale=(0.5, 2)), 'scale must'),
    (dict(type='RandomResizedCrop', size=8, ratio=(0, 1)), 'ratio must'),
    (dict(type='MultiView', transforms=[[]]), 'two or more lists'),
    (dict(type='MultiView', transforms=[CROP, FLIP]), 'two or more lists'),
]


@pytest.mark.parametrize(('settings', 'message'), REFUSED)
def test_refused_when_built(settings, message):
    settings = dict(settings)
    with pytest.raises(ValueError, match=message):
        build(settings.pop('type'), **settings)


def test_a_flip_that_is_not_kept_track_of_is_refused():
    flip = dict(type='RandomFlip', prob=1.0, direction='vertical')
    views = build('MultiView', transforms=[[CROP, flip], [CROP]])
    with pytest.raises(ValueError, match="direction 'vertical'"):
        views(results_of(IMAGE))


LOST = {
    'flip': (dict(FLIP, prob=0.0), 'a flip comes before it .* each of its'),
    'crop': (
        dict(type='CenterCrop', crop_size=100),
        r'the image is \(100, 100\) .* was \(180, 240\) when it was read',
    ),
    'pad': (
        dict(type='Pad', size=(260, 260)),
        r'is \(260, 260\) .* Remove them',
    ),
}


@pytest.mark.parametrize(('before', 'message'), LOST.values(), ids=LOST)
def test_what_came_before_and_is_lost_is_refused(before, message):
    views = dict(type=OWN + 'MultiView', transforms=[[CROP], [CROP]])
    pipeline = Compose([before, views])
    with pytest.raises(ValueError, match=message):
        pipeline(results_of(IMAGE))


UNTRACKED = {
    'CenterCrop': dict(crop_size=8),
    'Pad': dict(size=(8, 8)),
    'mmdet.Expand': dict(),
    'mmdet.FixShapeResize': dict(width=8, height=8),
    'mmdet.RandomAffine': dict(),
    'mmdet.RandomCrop': dict(crop_size=(8, 8)),
    'mmdet.RandomShift': dict(),
    'mmdet.Rotate': dict(),
    'mmdet.ShearX': dict(),
    'mmdet.TranslateY': dict(),
    'mmseg.RandomCrop': dict(crop_size=(8, 8)),
    'mmseg.RandomRotFlip': dict(),
    'mmseg.RandomRotate': dict(prob=1.0, degree=10),
}


@pytest.mark.parametrize('name', UNTRACKED)
def test_what_moves_pixels_without_a_trace_is_refused(name):
    move = dict(type=name, **UNTRACKED[name])
    sentence = f'MultiView: {name.split(".")[-1]} moves pixels .* Use mmd'
    for pipeline in (
        [CROP, move],
        [dict(type='RandomApply', transforms=[move])],
    ):
        with pytest.raises(ValueError, match=sentence):
            build('MultiView', transforms=[[CROP], pipeline])


@pytest.mark.parametrize('other', ['RandomFlip', 'mmdet.RandomFlip'])
def test_two_flips_in_a_view_are_refused(other):
    pipeline = [FLIP, CROP, dict(type=other, prob=0.5)]
    with pytest.raises(ValueError, match=r'2 flips \(RandomFlip, RandomFlip'):
        build('MultiView', transforms=[[CROP], pipeline])


def test_packing_without_views_is_refused():
    with pytest.raises(ValueError, match=r'Put mmdistill_dense\.MultiView'):
        build('PackViews')(results_of(IMAGE))
