"""Two views of an image: where they lie, and what was done to them."""

from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS
from PIL import Image, ImageEnhance, ImageOps

from mmdistill_dense.datasets.views import colours

OWN = 'mmdistill_dense.'
HEIGHT, WIDTH = 180, 240


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


@pytest.fixture
def coordinates():
    """A picture that says where each pixel was: blue is x, green is y."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([columns, rows, 0 * rows], axis=2).astype(np.float32)


@pytest.fixture
def photo():
    """Smooth colours over the whole range, and some noise."""
    small = np.random.randint(0, 256, (6, 8, 3), np.uint8)
    img = cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC)
    noise = np.random.randint(-8, 9, img.shape)
    return np.clip(img.astype(int) + noise, 0, 255).astype(np.uint8)


def build(name, **settings):
    return TRANSFORMS.build(dict(type=OWN + name, **settings))


def results_of(img):
    return dict(img=img, ori_shape=img.shape[:2], img_path='a.jpg')


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


def test_crops_have_the_areas_and_shapes_that_were_asked_for():
    crop = build('RandomResizedCrop', size=8, scale=(0.1, 0.4))
    draws = np.array([crop.draw(1000, 1000) for _ in range(2000)])
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
    assert full.draw(rows, columns) == crop


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


def in_pil(change, img):
    """What PIL makes of a BGR image."""
    return np.array(change(Image.fromarray(img[..., ::-1])))[..., ::-1]


def turn_in_pil(image, turn):
    hue, *others = image.convert('HSV').split()
    moved = np.array(hue) + np.uint8(int(turn * 255) % 256)
    hsv = Image.merge('HSV', (Image.fromarray(moved), *others))
    return hsv.convert('RGB')


REFERENCE = dict(
    brighten=lambda image, x: ImageEnhance.Brightness(image).enhance(x),
    contrast=lambda image, x: ImageEnhance.Contrast(image).enhance(x),
    saturate=lambda image, x: ImageEnhance.Color(image).enhance(x),
    turn_hue=turn_in_pil,
)


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize('name', ['brighten', 'contrast', 'saturate'])
@pytest.mark.parametrize('factor', [0.0, 0.6, 1.0, 1.4])
def test_colours_are_those_of_pil(name, factor, photo):
    before = photo.copy()
    ours = getattr(colours, name)(photo, factor)
    theirs = in_pil(lambda image: REFERENCE[name](image, factor), photo)
    assert difference(ours, theirs).max() <= 1
    assert np.array_equal(photo, before)


@pytest.mark.parametrize('turn', [-0.5, -0.1, 0.0, 0.07, 0.1, 0.5])
def test_hue_is_that_of_pil(turn, photo):
    ours = colours.turn_hue(photo, turn)
    theirs = in_pil(lambda image: turn_in_pil(image, turn), photo)
    apart = difference(ours, theirs)
    assert apart.mean() < 1.5
    assert apart.max() < 20  # both keep hue and saturation in 8 bits


def test_jitter_is_a_chain_in_random_order(photo):
    jitter = build('ColorJitter', prob=1.0)
    orders = set()
    for seed in range(24):
        np.random.seed(seed)
        ours = jitter(dict(img=photo))['img']
        np.random.seed(seed)
        np.random.rand()
        x = [np.random.uniform(1 - s, 1 + s) for s in (0.4, 0.4, 0.2)]
        x.append(np.random.uniform(-0.1, 0.1))
        order = tuple(np.random.permutation(4))
        orders.add(order)
        image = Image.fromarray(photo[..., ::-1])
        for i in order:
            image = list(REFERENCE.values())[i](image, x[i])
        assert difference(ours, np.array(image)[..., ::-1]).mean() < 3
    assert len(orders) > 10


@pytest.mark.parametrize('turn', [-1, 1])
def test_hue_turns_red_the_same_way_as_pil(turn):
    red = np.full((4, 4, 3), (0, 0, 255), np.uint8)
    blue, green, _ = colours.turn_hue(red, turn / 3)[0, 0].astype(int)
    assert (green - blue) * turn > 240


def test_grey_knows_blue_from_red():
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    grey = build('RandomGrayscale', prob=1.0)(dict(img=pixels))['img']
    assert grey.tolist() == [[[29] * 3, [150] * 3, [76] * 3]]


def test_solarize_is_that_of_pil():
    levels = np.arange(256, dtype=np.uint8)
    img = np.stack([levels] * 3, axis=1)[None]
    ours = build('Solarize', thr=128, prob=1.0)(dict(img=img))['img']
    assert ours[0, [0, 127, 128, 255], 0].tolist() == [0, 127, 127, 0]
    theirs = in_pil(lambda image: ImageOps.solarize(image, 128), img)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize('sigma', [0.5, 1.0, 2.0])
def test_blur_has_the_width_that_was_drawn(sigma):
    img = np.zeros((41, 41, 3), np.uint8)
    img[:, 20:] = 250  # its blurred slope is the Gaussian itself
    blur = build('GaussianBlur', sigma=(sigma, sigma), prob=1.0)
    row = blur(dict(img=img))['img'][20, :, 1].astype(float)
    slope, x = np.diff(row), np.arange(40)
    mean = (slope * x).sum() / slope.sum()
    variance = (slope * (x - mean) ** 2).sum() / slope.sum()
    assert np.sqrt(variance) == pytest.approx(sigma, rel=0.1)


def test_blur_draws_from_the_whole_range():
    img = np.zeros((1, 41, 3), np.uint8)
    img[:, 20] = 250
    blur = build('GaussianBlur', prob=1.0)
    peaks = [int(blur(dict(img=img))['img'].max()) for _ in range(200)]
    assert max(peaks) == 250  # 0.1: as it was
    assert min(peaks) == pytest.approx(250 / np.sqrt(8 * np.pi), abs=3)


@pytest.mark.parametrize('prob', [0.0, 0.2, 0.8, 1.0])
@pytest.mark.parametrize(
    'name', ['ColorJitter', 'RandomGrayscale', 'GaussianBlur', 'Solarize']
)
def test_as_often_as_asked(name, prob):
    img = np.array([[[10, 130, 250], [200, 20, 90]]], np.uint8)
    transform = build(name, prob=prob)
    changed = [transform(dict(img=img))['img'] is not img for _ in range(1000)]
    assert np.mean(changed) == pytest.approx(prob, abs=0.05)


REFUSED = [
    (dict(type='RandomResizedCrop', size=0), 'size .* got 0'),
    (dict(type='RandomResizedCrop', size=(8, 8, 8)), r'size .* \(8, 8, 8\)'),
    (dict(type='RandomResizedCrop', size=(8, 2.5)), r'size .* \(8, 2.5\)'),
    (dict(type='RandomResizedCrop', size=8, scale=(0.5, 0.2)), 'scale must'),
    (dict(type='RandomResizedCrop', size=8, scale=(0.5, 2)), 'scale must'),
    (dict(type='RandomResizedCrop', size=8, ratio=(0, 1)), 'ratio must'),
    (dict(type='ColorJitter', prob=1.5), 'ColorJitter: prob .* got 1.5'),
    (dict(type='Solarize', prob=-1), 'Solarize: prob .* got -1'),
    (dict(type='ColorJitter', brightness=-1), 'at least 0 .* got'),
    (dict(type='ColorJitter', hue=0.6), 'hue between 0 and 0.5'),
    (dict(type='GaussianBlur', sigma=(0, 2)), 'sigma must .* above 0'),
    (dict(type='Solarize', thr=300), 'thr must be between 0 and 256, got 300'),
    (dict(type='MultiView', transforms=[[]]), 'two or more lists'),
    (dict(type='MultiView', transforms=[CROP, FLIP]), 'two or more lists'),
]


@pytest.mark.parametrize(('settings', 'message'), REFUSED)
def test_refused_when_built(settings, message):
    settings = dict(settings)
    with pytest.raises(ValueError, match=message):
        build(settings.pop('type'), **settings)


def test_a_flip_that_is_not_kept_track_of_is_refused(coordinates):
    flip = dict(type='RandomFlip', prob=1.0, direction='vertical')
    views = build('MultiView', transforms=[[CROP, flip], [CROP]])
    with pytest.raises(ValueError, match="direction 'vertical'"):
        views(results_of(coordinates))


def test_packing_without_views_is_refused(coordinates):
    with pytest.raises(ValueError, match=r'Put mmdistill_dense\.MultiView'):
        build('PackViews')(results_of(coordinates))


@pytest.mark.parametrize(
    'img', [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)]
)
def test_an_image_of_another_kind_is_refused(img):
    with pytest.raises(TypeError, match='Solarize: expected an image of'):
        build('Solarize')(dict(img=img))
