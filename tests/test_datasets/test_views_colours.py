"""Colours and sharpness of a view, next to those of PIL."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from mmdistill_dense.datasets.views import colours
from tests.helpers.views import build


@pytest.fixture
def photo():
    """Smooth colours over the whole range, and some noise."""
    small = np.random.randint(0, 256, (6, 8, 3), np.uint8)
    img = cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC)
    noise = np.random.randint(-8, 9, img.shape)
    return np.clip(img.astype(int) + noise, 0, 255).astype(np.uint8)


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
    result = getattr(colours, name)(photo, factor)
    reference = in_pil(lambda image: REFERENCE[name](image, factor), photo)
    assert difference(result, reference).max() <= 1
    assert np.array_equal(photo, before)


@pytest.mark.parametrize('turn', [-0.5, -0.1, 0.0, 0.07, 0.1, 0.5])
def test_hue_is_that_of_pil(turn, photo):
    result = colours.turn_hue(photo, turn)
    reference = in_pil(lambda image: turn_in_pil(image, turn), photo)
    apart = difference(result, reference)
    assert apart.mean() < 1.5
    assert apart.max() < 20  # both keep hue and saturation in 8 bits


def test_jitter_is_a_chain_in_random_order(photo):
    jitter = build('ColorJitter', prob=1.0)
    orders = set()
    for seed in range(24):
        np.random.seed(seed)
        result = jitter(dict(img=photo))['img']
        np.random.seed(seed)
        np.random.rand()
        x = [np.random.uniform(1 - s, 1 + s) for s in (0.4, 0.4, 0.2)]
        x.append(np.random.uniform(-0.1, 0.1))
        order = tuple(np.random.permutation(4))
        orders.add(order)
        image = Image.fromarray(photo[..., ::-1])
        for i in order:
            image = list(REFERENCE.values())[i](image, x[i])
        assert difference(result, np.array(image)[..., ::-1]).mean() < 3
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
    result = build('Solarize', thr=128, prob=1.0)(dict(img=img))['img']
    assert result[0, [0, 127, 128, 255], 0].tolist() == [0, 127, 127, 0]
    reference = in_pil(lambda image: ImageOps.solarize(image, 128), img)
    assert np.array_equal(result, reference)


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
def test_transforms_apply_with_their_probability(name, prob):
    img = np.array([[[10, 130, 250], [200, 20, 90]]], np.uint8)
    transform = build(name, prob=prob)
    changed = [transform(dict(img=img))['img'] is not img for _ in range(1000)]
    assert np.mean(changed) == pytest.approx(prob, abs=0.05)


REFUSED = [
    (dict(type='ColorJitter', prob=1.5), 'ColorJitter: prob .* got 1.5'),
    (dict(type='Solarize', prob=-1), 'Solarize: prob .* got -1'),
    (dict(type='ColorJitter', brightness=-1), 'at least 0 .* got'),
    (dict(type='ColorJitter', hue=0.6), 'hue between 0 and 0.5'),
    (dict(type='GaussianBlur', sigma=(0, 2)), 'sigma must .* above 0'),
    (dict(type='Solarize', thr=300), 'thr must be between 0 and 256, got 300'),
]


@pytest.mark.parametrize(('settings', 'message'), REFUSED)
def test_refused_when_built(settings, message):
    settings = dict(settings)
    with pytest.raises(ValueError, match=message):
        build(settings.pop('type'), **settings)


@pytest.mark.parametrize(
    'img', [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)]
)
def test_an_image_of_another_kind_is_refused(img):
    with pytest.raises(TypeError, match='Solarize: expected an image of'):
        build('Solarize')(dict(img=img))
