"""Which cells are compared, by geometry that is worked out by hand."""

from types import SimpleNamespace

import pytest
import torch

from mmdistill_dense.functional import pixel_contrast
from mmdistill_dense.models.pcd.pairing import (
    pair_views,
    pool_to_grid,
    view_geometry,
)

BOX = (0.0, 0.0, 64.0, 64.0)


def sample(one, two, flips=(False, False)):
    views = [
        dict(box=box, flip=flip)
        for box, flip in zip((one, two), flips, strict=True)
    ]
    return SimpleNamespace(views=views)


def maps(n=1, size=(4, 4), channels=3):
    return [torch.randn(n, channels, *size) for _ in range(2)]


def aligned(teachers, *samples):
    """Both views' teacher maps on the other view's cells, and validity."""
    students = maps(len(samples), teachers[0].shape[-2:])
    pairs = pair_views('aligned', students, teachers, samples)
    for (s, _, _), student in zip(pairs, students, strict=True):
        assert s is student
    return [(t, valid) for _, t, valid in pairs]


def places(box, size, flip=False):
    """A map (1, 2, H, W) that holds x and y of each cell's centre."""
    left, top, right, bottom = box
    height, width = size
    x = left + (torch.arange(width) + 0.5) / width * (right - left)
    y = top + (torch.arange(height) + 0.5) / height * (bottom - top)
    if flip:
        x = x.flip(0)
    return torch.stack(torch.meshgrid(y, x, indexing='ij')).flip(0)[None]


def test_same_and_cross_differ_in_the_view():
    students, teachers = maps(2), maps(2)
    same = pair_views('same', students, teachers, None)
    cross = pair_views('cross', students, teachers, None)
    for pairs, order in ((same, (0, 1)), (cross, (1, 0))):
        for (s, t, valid), view, other in zip(
            pairs, (0, 1), order, strict=True
        ):
            assert s is students[view]
            assert t is teachers[other]
            assert valid is None


def test_a_larger_grid_is_averaged():
    teachers = maps(2, (8, 8))
    students = maps(2, (4, 4))
    _, target, _ = pair_views('same', students, teachers, None)[0]
    expected = teachers[0].unflatten(3, (4, 2)).unflatten(2, (4, 2))
    torch.testing.assert_close(target, expected.mean((3, 5)))
    assert pool_to_grid(students[0], [4, 4]) is students[0]


def test_one_box_for_both_views_is_the_identity():
    teachers = maps(2)
    box = (3.0, 7.0, 50.0, 60.0)
    for flips in ((False, False), (True, True)):
        found = aligned(teachers, *[sample(box, box, flips)] * 2)
        for (target, valid), other in zip(found, teachers[::-1], strict=True):
            torch.testing.assert_close(target, other)
            assert valid.all()


@pytest.mark.parametrize('flips', [(False, True), (True, False)])
def test_a_flipped_view_is_mirrored(flips):
    teachers = maps()
    found = aligned(teachers, sample(BOX, BOX, flips))
    for (target, valid), other in zip(found, teachers[::-1], strict=True):
        torch.testing.assert_close(target, other.flip(3))
        assert valid.all()


def test_a_shift_by_whole_cells():
    # View 2 lies one cell (16 pixels) lower and two cells to the right.
    teachers = maps()
    two = (32.0, 16.0, 96.0, 80.0)
    (first, seen), (second, back) = aligned(teachers, sample(BOX, two))
    inside = torch.zeros(4, 4, dtype=torch.bool)
    inside[1:, 2:] = True
    assert torch.equal(seen[0], inside)
    assert torch.equal(back[0], inside.flip(0, 1))
    torch.testing.assert_close(first[..., 1:, 2:], teachers[1][..., :-1, :-2])
    torch.testing.assert_close(second[..., :-1, :-2], teachers[0][..., 1:, 2:])


@pytest.mark.parametrize('flips', [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_places_in_the_image_are_the_same(flips):
    """Of any two boxes; a wide grid tells rows from columns."""
    one, two = (10.0, 5.0, 90.0, 65.0), (40.0, 20.0, 140.0, 110.0)
    size, flips = (5, 8), [bool(flip) for flip in flips]
    truth = [
        places(box, size, flip)
        for box, flip in zip((one, two), flips, strict=True)
    ]
    found = aligned(truth, sample(one, two, flips))
    for (target, valid), own, box in zip(
        found, truth, (two, one), strict=True
    ):
        left, top, right, bottom = box
        x, y = own[0]
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        assert torch.equal(valid[0], inside)
        assert 0 < inside.sum() < inside.numel()
        # Outermost centres are as far as a map is known.
        known = places(box, size)
        low, high = known.amin((2, 3)), known.amax((2, 3))
        expected = own.clamp(low[..., None, None], high[..., None, None])
        difference = (target - expected)[0][:, inside]
        assert difference.abs().max() < 1e-3
        assert torch.equal(expected, own) is False


def test_images_of_a_batch_have_their_own_geometry():
    teachers = maps(3)
    samples = [
        sample(BOX, BOX),
        sample(BOX, BOX, (False, True)),
        sample(BOX, (0.0, 64.0, 64.0, 128.0)),
    ]
    (target, valid), _ = aligned(teachers, *samples)
    torch.testing.assert_close(target[0], teachers[1][0])
    torch.testing.assert_close(target[1], teachers[1][1].flip(2))
    assert valid.flatten(1).sum(1).tolist() == [16, 16, 0]


def test_views_that_do_not_meet_teach_nothing():
    students = [m.requires_grad_() for m in maps()]
    far = sample(BOX, (100.0, 100.0, 164.0, 164.0))
    queue = torch.nn.functional.normalize(torch.randn(3, 6), dim=0)
    for s, t, valid in pair_views('aligned', students, maps(), [far]):
        assert not valid.any()
        assert t.isfinite().all()
        value = pixel_contrast(student=s, teacher=t, queue=queue, valid=valid)
        value.backward()
        assert value == 0
        assert torch.equal(s.grad, torch.zeros_like(s))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_places_are_exact_in_any_dtype(dtype):
    # In bfloat16 itself a place on 64 cells would be off by a quarter.
    one, two = (0.0, 0.0, 640.0, 64.0), (5.0, 0.0, 645.0, 64.0)
    truth = [places(box, (1, 64))[:, :1].to(dtype) for box in (one, two)]
    wide = [m.double() for m in truth]
    (target, valid), _ = aligned(truth, sample(one, two))
    (expected, _), _ = aligned(wide, sample(one, two))
    assert target.dtype == torch.promote_types(dtype, torch.float32)
    difference = (target.double() - expected)[:, 0][valid]
    assert difference.abs().max() < 0.01


@pytest.mark.parametrize(
    'samples',
    [
        [SimpleNamespace()],
        [SimpleNamespace(views=[dict(box=BOX, flip=False)])],
        [SimpleNamespace(views=[dict(box=BOX)] * 2)],
        None,
    ],
)
def test_views_without_geometry_are_refused(samples):
    with pytest.raises(
        ValueError,
        match=r"pairing='aligned' needs the crop of each view.*"
        r'MultiView with PackViews',
    ):
        pair_views('aligned', maps(), maps(), samples)


def test_geometry_is_that_of_the_view():
    samples = [sample(BOX, (1.0, 2.0, 3.0, 4.0), (False, True))]
    boxes, flips = view_geometry(samples, 1, torch.zeros(1))
    assert boxes.tolist() == [[1, 2, 3, 4]]
    assert flips.tolist() == [True]
