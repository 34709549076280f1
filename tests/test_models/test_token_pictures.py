"""Masks of tokens on an image: what is measured, and what is seen."""

import numpy as np
import pytest
import torch

from mmdistill_dense.models.maskd.token_images import level_masks
from mmdistill_dense.models.maskd.token_pictures import draw_masks

IMAGE = np.full((60, 80, 3), 128, np.uint8)
#: RGB of a mask of 0 and of 1 on that grey, and of the first two tokens.
EMPTY, FULL = (91, 51, 101), (203, 189, 73)
FIRST, SECOND = (70, 122, 159), (204, 127, 59)


def count(picture, colour):
    """Pixels of about this colour."""
    return (np.abs(picture - np.array(colour)).max(axis=2) <= 2).sum()


def two_masks(left, right, size=(6, 8)):
    """A token for the left half and one for the right."""
    masks = torch.zeros(2, *size)
    masks[0, :, : size[1] // 2] = left
    masks[1, :, size[1] // 2 :] = right
    return masks


def test_means_are_of_pixels_and_areas_of_cells():
    masks = torch.full((2, 2, 2), 0.2)
    masks[1] = torch.tensor([[0.9, 0.5], [0.1, 0.1]])
    level = level_masks(masks, image=(4, 4), padded=(4, 4))
    assert level.masks.shape == (2, 4, 4)
    assert level.means == pytest.approx([0.2, 0.4])
    assert level.areas == pytest.approx([0, 0.25])  # 0.5 is not above 0.5
    # Between two centres, a quarter of the way.
    assert level.masks[1, 0].tolist() == pytest.approx([0.9, 0.8, 0.6, 0.5])
    # 2 (0.2 * 1.6) / (4 * 0.04 + 0.81 + 0.25 + 0.02)
    assert level.dice == pytest.approx(0.64 / 1.24, rel=1e-5)


def test_padding_does_not_count():
    """An image of 40x48 in a batch of 64x64: 5x6 cells of 8x8."""
    masks = torch.full((2, 8, 8), 0.25)
    masks[0, :, :5] = 0.75
    own = level_masks(masks, image=(40, 48), padded=(64, 64))
    noisy = masks.clone()
    noisy[:, 5:], noisy[:, :, 6:] = 1, 0
    padded = level_masks(noisy, image=(40, 48), padded=(64, 64))
    assert own.masks.shape == (2, 40, 48)
    assert own.areas == pytest.approx([5 / 6, 0])
    assert padded.areas == pytest.approx(own.areas)
    assert padded.dice == pytest.approx(own.dice)
    # Only the half cell beside the padding is touched by it.
    assert (padded.masks == own.masks)[:, :36, :44].all()


def test_strides_are_of_the_batch_and_a_narrow_image_keeps_a_cell():
    level = level_masks(two_masks(1, 1, (2, 4)), (10, 128), (64, 128))
    assert (level.grid, level.stride) == ((2, 4), (32, 32))
    assert level.areas == pytest.approx([0.5, 0.5])


def test_half_precision_masks_that_need_a_gradient_are_taken():
    masks = two_masks(1, 1).half().requires_grad_()
    level = level_masks(masks, (60, 80), (60, 80))
    assert level.masks.dtype == np.float32


def test_a_single_mask_is_refused():
    with pytest.raises(ValueError, match='at least 2 masks'):
        level_masks(torch.ones(1, 2, 2), (4, 4), (4, 4))


def test_a_picture_shows_masks_and_the_strongest_token_of_each_pixel():
    level = level_masks(two_masks(1, 0.9), (60, 80), (60, 80))
    picture = draw_masks(IMAGE, [level], 'a.jpg')
    assert picture.dtype == np.uint8
    side = picture.shape[1] // 3
    strongest, first, second = (
        picture[:, i * side : (i + 1) * side] for i in range(3)
    )
    tokens = count(strongest, FIRST), count(strongest, SECOND)
    assert min(tokens) > 5000
    assert tokens[0] == pytest.approx(tokens[1], rel=0.1)
    left, right = first[:, : side // 2 - 20], first[:, side // 2 + 20 :]
    assert min(count(left, FULL), count(right, EMPTY)) > 5000
    assert count(left, EMPTY) == count(right, FULL) == 0
    assert count(second, FULL) == 0  # 0.9 is less than 1


def test_every_level_has_rows_of_its_own_and_many_tokens_are_wrapped():
    two = level_masks(two_masks(1, 1), (60, 80), (60, 80))
    nine = level_masks(torch.rand(9, 3, 4), (60, 80), (60, 80))
    one_row = draw_masks(IMAGE, [two])
    two_rows = draw_masks(IMAGE, [two, two])
    three_rows = draw_masks(IMAGE, [two, nine])
    row = len(two_rows) - len(one_row)
    assert row > 100
    assert len(three_rows) - len(two_rows) == pytest.approx(row, abs=2)
    assert one_row.shape[1] == two_rows.shape[1] < three_rows.shape[1]


def test_images_of_any_size_give_pictures_of_one_size():
    shapes = []
    for factor in (1, 10):
        image = np.full((60 * factor, 80 * factor, 3), 128, np.uint8)
        size = image.shape[:2]
        level = level_masks(two_masks(1, 1), size, size)
        picture = draw_masks(image, [level])
        assert count(picture, FULL) > 5000
        shapes.append(picture.shape)
    assert shapes[0] == shapes[1]
