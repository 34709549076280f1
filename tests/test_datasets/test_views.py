"""Views of an image, and where they lie in it."""

from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose

from tests.helpers.views import OWN, build, results_of

HEIGHT, WIDTH = 180, 240


@pytest.fixture
def coordinates():
    """A picture that says where each pixel was: blue is x, green is y."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([columns, rows, 0 * rows], axis=2).astype(np.float32)


CROP = dict(type=OWN + 'RandomResizedCrop', size=(48, 64))
FLIP = dict(type='RandomFlip', prob=0.5)
ORDERS = {
    'crop, flip': [CROP, FLIP],
    'flip, crop': [FLIP, CROP],
    'resize, crop, flip': [
        dict(type='Resize', scale=(120, 100), keep_ratio=False),
        CROP,
        FLIP,
    ],
    'crop, flip, crop': [CROP, FLIP, dict(CROP, scale=(0.5, 1.0))],
    'resize, flip': [dict(type='Resize', scale=(64, 48)), FLIP],
}


@pytest.mark.parametrize('pipeline', ORDERS.values(), ids=ORDERS)
def test_box_and_flip_say_where_every_pixel_was(pipeline, coordinates):
    views = build('MultiView', transforms=[pipeline, pipeline])
    flips = Counter()
    for _ in range(20):
        made = views(results_of(coordinates))
        for img, view in zip(made['img'], made['views'], strict=True):
            check_geometry(img, **view)
            flips[view['flip']] += 1
    assert len(flips) == 2


def check_geometry(img, box, flip):
    left, top, right, bottom = box
    assert 0 <= left < right <= WIDTH
    assert 0 <= top < bottom <= HEIGHT
    rows, columns = img.shape[:2]
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns - 0.5
    y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows - 0.5
    x = x[::-1] if flip else x
    inner = slice(4, -4)  # resizing repeats the border
    assert np.abs(img[inner, inner, 0] - x[inner]).max() < 0.25
    assert np.abs(img[inner, inner, 1] - y[inner, None]).max() < 0.25


BEFORE = {
    'resize': dict(type='Resize', scale=(120, 100), keep_ratio=False),
    'keep_ratio': dict(type='Resize', scale=(130, 101), keep_ratio=True),
    'crop': dict(CROP, size=(96, 128)),
}


@pytest.mark.parametrize('before', BEFORE.values(), ids=BEFORE)
def test_an_image_may_be_resized_and_cropped_before(before, coordinates):
    views = dict(type=OWN + 'MultiView', transforms=[[CROP, FLIP]] * 2)
    pipeline = Compose([before, views])
    for _ in range(10):
        made = pipeline(results_of(coordinates))
        for img, view in zip(made['img'], made['views'], strict=True):
            check_geometry(img, **view)


def test_a_view_is_the_whole_image_where_nothing_crops(coordinates):
    made = build('MultiView', transforms=[[], []])(results_of(coordinates))
    box = (0, 0, WIDTH, HEIGHT)
    assert made['views'] == [dict(box=box, flip=False)] * 2
    assert all(np.array_equal(img, coordinates) for img in made['img'])


def test_a_view_in_place_does_not_reach_the_next_nor_the_image(coordinates):
    def blacken(results):
        results['img'][:] = 0
        return results

    before = coordinates.copy()
    views = build('MultiView', transforms=[[blacken], []])
    first, second = views(results_of(coordinates))['img']
    assert first.max() == 0
    assert np.array_equal(second, before)
    assert np.array_equal(coordinates, before)


def test_no_view_no_item(coordinates):
    views = build('MultiView', transforms=[[lambda results: None], []])
    assert views(results_of(coordinates)) is None


def test_a_crop_that_keeps_the_box_itself_is_taken(coordinates):
    class MyCrop:
        tracks_view_box = True

        def __call__(self, results):
            part = results['img'][:90]
            return dict(results, img=part, view_box=(0.0, 0.0, 240.0, 90.0))

    views = build('MultiView', transforms=[[MyCrop(), CROP], [CROP]])
    made = views(results_of(coordinates))
    check_geometry(made['img'][0], **made['views'][0])


def test_crops_have_the_configured_areas_and_shapes():
    crop = build('RandomResizedCrop', size=8, scale=(0.1, 0.4))
    draws = np.array([crop.get_params(1000, 1000) for _ in range(2000)])
    left, top, width, height = draws.T
    area, shape = width * height / 1e6, np.log(width / height)
    assert area.min() == pytest.approx(0.1, abs=0.005)
    assert area.max() == pytest.approx(0.4, abs=0.005)
    assert area.mean() == pytest.approx(0.25, abs=0.01)
    assert np.abs(shape).max() == pytest.approx(np.log(4 / 3), abs=0.01)
    assert shape.mean() == pytest.approx(0, abs=0.02)
    assert (left / (1000 - width)).mean() == pytest.approx(0.5, abs=0.03)
    assert (top / (1000 - height)).mean() == pytest.approx(0.5, abs=0.03)
    assert (left + width).max() <= 1000
    assert (top + height).max() <= 1000


@pytest.mark.parametrize(
    ('rows', 'columns', 'crop'),
    [
        (9, 900, (444, 0, 12, 9)),
        (900, 9, (0, 444, 9, 12)),
        (1, 1, (0, 0, 1, 1)),
    ],
)
def test_a_crop_that_never_fits_is_the_largest_in_the_middle(
    rows, columns, crop
):
    full = build('RandomResizedCrop', size=8, scale=(0.99, 1.0))
    assert full.get_params(rows, columns) == crop


def test_packed(coordinates):
    coordinates = coordinates.astype(np.uint8)
    pipeline = Compose(
        [
            dict(type=OWN + 'MultiView', transforms=[[CROP], [CROP, FLIP]]),
            dict(type=OWN + 'PackViews', meta_keys=['split']),
        ]
    )
    item = pipeline(dict(results_of(coordinates), split='train', sample_idx=3))
    for view in item['inputs']:
        assert view.shape == (3, 48, 64)
        assert view.dtype == torch.uint8
        assert view[0, :, 5].float().std() < view[1, :, 5].float().std()
    sample = item['data_samples']
    assert sample.img_path == 'a.jpg'
    assert sample.sample_idx == 3
    assert sample.split == 'train'
    assert sample.ori_shape == (HEIGHT, WIDTH)
    assert sample.img_shape == (48, 64)
    assert len(sample.views) == 2
