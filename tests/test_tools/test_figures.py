"""Figures are made, and show something."""

import cv2
import numpy as np
import pytest

from mmdistill_tools import figures, overlay

PALETTE = [(0, 0, 0), (250, 0, 0), (0, 250, 0)]


def read(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_labels_tint_by_class_on_grey_and_leave_void():
    image = np.full((2, 2, 3), 100, np.uint8)
    image[1, 0] = 210, 55, 45  # the same brightness, in colour
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    painted = overlay.paint_labels(image, labels, PALETTE, opacity=0.5)
    assert painted[0, 0].tolist() == [50, 50, 50]
    assert painted[0, 1].tolist() == [175, 50, 50]
    assert painted[1, 0].tolist() == [50, 175, 50]
    assert painted[1, 1].tolist() == [100, 100, 100]


def test_instances_are_coloured_on_grey():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    masks = np.zeros((2, 20, 30), bool)
    masks[0, 2:12, 2:12] = masks[1, 8:18, 8:18] = True
    painted = overlay.paint_instances(image, masks, [1, 2], PALETTE)
    ground = painted[~masks.any(axis=0)]
    assert (np.ptp(ground.astype(int), axis=1) == 0).all()
    assert painted[2, 2].tolist() == [250, 0, 0]  # the contour
    assert painted[10, 10, 1] > painted[10, 10, 0]  # the second is on top
    assert overlay.paint_instances(image, [], [], PALETTE).shape == image.shape


def test_picture_grid_shows_every_picture(tmp_path):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
    tiles = [np.full((24, 32, 3), c, np.uint8) for c in colours]
    legend = {'disc': (9, 99, 199)}
    path = tmp_path / 'grid.png'
    figures.picture_grid(path, [tiles[:2], tiles[2:]], ('a', 'b'), legend)
    picture = read(path)
    for colour in [*colours, legend['disc']]:
        assert (picture == colour).all(axis=2).sum() > 50


@pytest.mark.parametrize('scores', [[], [3.0, 8.0]])
def test_curves_show_every_run(tmp_path, scores):
    losses = {r: ([1, 2], [3.0, 1.0 + i]) for i, r in enumerate('ab')}
    validated = {r: ([1, 2][: len(scores)], scores) for r in 'ab'}
    path = tmp_path / 'curves.png'
    figures.curves(path, losses, validated, 'mIoU')
    picture = read(path)
    for colour in [(31, 119, 180), (255, 127, 14)]:  # matplotlib's first two
        assert (picture == colour).all(axis=2).any()


def test_the_gain_of_each_class_is_a_dot(tmp_path):
    path = tmp_path / 'gain.png'
    gains = dict(first=dict(disc=3.0, ring=-2.0), second=dict(disc=1.0))
    figures.class_points(path, gains, 'points')
    picture = read(path).astype(int)
    for colour in [(31, 119, 180), (255, 127, 14)]:
        near = abs(picture - colour).sum(axis=2) < 150
        assert near.any()
