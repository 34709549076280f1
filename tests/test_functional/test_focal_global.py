"""Box masks, attention and pooling of FGD, and its distances, in float64.

The published values are held through the loss, in
``tests/test_models/test_focal_global_loss.py``.
"""

import pytest
import torch
from torch.autograd import gradcheck

from mmdistill_dense.functional import (
    activation_attention,
    attention_pool,
    box_masks,
    focal_global_distances,
)
from tests.helpers.focal_global import plain_distances, plain_pool
from tests.helpers.published import WAITS, Operators

#: Of two images on a grid of 4x6 cells: overlapping, small, at the border.
BOXES = [
    [[0.5, 0.5, 2.5, 1.5], [2.1, 1.1, 2.2, 1.3], [5, 2.5, 6, 4]],
    [[1.25, 0.75, 3.75, 3.1]],
]


@pytest.fixture
def boxes():
    return [torch.tensor(x, dtype=torch.float64) for x in BOXES]


@pytest.fixture
def given():
    """Maps, masks and a shift, in float64."""
    student, teacher = torch.randn(2, 2, 3, 4, 6, dtype=torch.float64)
    foreground, background = torch.rand(2, 2, 4, 6, dtype=torch.float64)
    return dict(
        student=student.requires_grad_(),
        teacher=teacher,
        foreground=foreground,
        background=background,
        shift=torch.randn(2, 3, dtype=torch.float64).requires_grad_(),
    )


def test_the_smallest_box_counts_in_all_its_cells(boxes):
    foreground, background = box_masks(boxes, (4, 6), boxes[0])
    a, b, c = 1 / 12, 1 / 4, 1 / 6
    expected = [
        [a, a, a, a, 0, 0],
        [a, a, b, b, 0, 0],
        [a, a, b, b, 0, c],
        [0, 0, 0, 0, 0, c],
    ]
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(foreground[0], expected, rtol=1e-15, atol=0)
    row = torch.tensor([0, 1, 1, 1, 1, 0], dtype=torch.float64) / 20
    assert torch.equal(foreground[1], row.expand(4, 6))
    assert torch.equal(background[0], (expected == 0).double() / 10)
    assert torch.equal(background[1], (row == 0).double().expand(4, 6) / 8)


def test_an_image_without_boxes_is_all_background(boxes):
    none, whole = torch.zeros(0, 4), torch.tensor([[0.0, 0, 6, 4]])
    found = box_masks([none, whole], (4, 6), none)
    assert found[0].dtype == torch.float32
    for mask, values in zip(found, [(0, 1 / 35), (1 / 24, 0)], strict=True):
        for image, value in zip(mask, values, strict=True):
            assert torch.equal(image, torch.full((4, 6), value))


def test_more_boxes_than_are_drawn_at_a_time():
    corners = torch.rand(100, 2, dtype=torch.float64) * 20
    sides = torch.rand(100, 2, dtype=torch.float64) * 9
    boxes = torch.cat([corners, corners + sides], 1)
    foreground, _ = box_masks([boxes], (16, 24), boxes)
    expected = torch.zeros(16, 24, dtype=torch.float64)
    for box in boxes:
        x, y = box[:2].floor().int().tolist()
        x2, y2 = box[2:].ceil().int().tolist()
        part = expected[y : y2 + 1, x : x2 + 1]
        part.clamp_(min=1 / ((x2 - x + 1) * (y2 - y + 1)))
    torch.testing.assert_close(foreground[0], expected, rtol=1e-15, atol=0)


def test_a_box_that_is_inside_out_is_not_drawn(boxes):
    wrong = torch.tensor([[3.0, 1, 2, 2], [5, 3, 1, 0]])
    foreground, background = box_masks([wrong], (4, 6), wrong)
    assert not foreground.any()
    assert torch.equal(background, torch.full((1, 4, 6), 1 / 24))


def test_what_are_no_boxes_is_refused():
    with pytest.raises(ValueError, match=r'\(G, 4\), as x1, .* got \(4,\)'):
        box_masks([torch.zeros(4)], (4, 6), torch.zeros(4))


def test_attention_has_a_mean_of_one(given):
    positions, channels = activation_attention(given['teacher'], tau=0.3)
    means = positions.mean((1, 2)), channels.mean(1)
    for mean in means:
        torch.testing.assert_close(mean, torch.ones(2).double())
    with pytest.raises(ValueError, match='tau must be a finite number'):
        activation_attention(given['teacher'], tau=0)


@pytest.mark.parametrize('shifted', [True, False])
def test_values_and_gradients_are_those_of_the_plain_form(given, shifted):
    if not shifted:
        del given['shift']
    trained = [v for v in given.values() if v.requires_grad]
    values = focal_global_distances(**given, tau=0.7)
    plain = plain_distances(**given, tau=0.7)
    for value, expected in zip(values, plain, strict=True):
        assert value.item() == pytest.approx(expected.item(), rel=1e-13)
        found, wanted = (
            torch.autograd.grad(
                x,
                trained,
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            for x in (value, expected)
        )
        for gradient, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(gradient, other, rtol=1e-12, atol=1e-14)


def test_the_pool_is_that_of_the_plain_form():
    feature = torch.randn(2, 5, 3, 4, dtype=torch.float64).requires_grad_()
    key = torch.randn(5, dtype=torch.float64).requires_grad_()
    found, expected = (f(feature, key) for f in (attention_pool, plain_pool))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
    assert gradcheck(attention_pool, (feature, key))
    # The teacher's map has no gradient, its block has.
    assert gradcheck(lambda k: attention_pool(feature.detach(), k), (key,))
    with pytest.raises(ValueError, match=r'a key \(C,\), got .* and \(4,\)'):
        attention_pool(feature, key[:4])


def test_gradcheck_and_no_gradient_to_the_teacher(given):
    names = 'student', 'shift'
    rest = {k: v for k, v in given.items() if k not in names}

    def distances(student, shift):
        return tuple(
            focal_global_distances(student=student, shift=shift, **rest)
        )

    assert gradcheck(distances, [given[k] for k in names])
    given['teacher'].requires_grad_()
    sum(focal_global_distances(**given)).backward()
    assert given['teacher'].grad is None
    rest['teacher'] = given['student'].detach()
    same = focal_global_distances(student=given['student'], **rest)
    assert [x.item() for x in same] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(teacher=torch.rand(2, 3, 4, 5)), 'student .* and teacher .*'),
        (dict(foreground=torch.rand(2, 4, 5)), r'foreground .* \(2, 4, 6\)'),
        (dict(background=torch.rand(1, 4, 6)), r'background .* \(2, 4, 6\)'),
        (dict(shift=torch.rand(3)), r'shift must have shape \(2, 3\)'),
        (dict(tau=-1), 'tau must be a finite number above 0'),
    ],
)
def test_what_does_not_fit_is_refused(given, changes, message):
    with pytest.raises(ValueError, match=message):
        focal_global_distances(**{**given, **changes})


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_at_a_realistic_size(dtype):
    maps = torch.randn(2, 1, 16, 200, 336).to(dtype)
    boxes = [torch.tensor([[10.0, 20, 90, 120], [200, 50, 220, 60]])]
    masks = box_masks(boxes, (200, 336), maps[0])
    results = []
    for kind in (torch.float32, dtype):
        student, teacher = (x.to(kind) for x in maps)
        found = focal_global_distances(
            student=student.requires_grad_(),
            teacher=teacher,
            foreground=masks[0],
            background=masks[1],
            shift=attention_pool(student, torch.linspace(-1, 1, 16)),
        )
        weights = 1e-3, 5e-4, 5e-4, 5e-6
        value = sum(w * x for w, x in zip(weights, found, strict=True))
        assert value.dtype == torch.float32
        (value * 2.0**16).backward()
        results.append((value.item(), student.grad.float()))
    (expected, gradient), (value, other) = results
    assert value == pytest.approx(expected, rel=1e-5)
    assert (gradient - other).norm() / gradient.norm() < 4e-3


def test_no_operator_waits_for_the_device(given, boxes):
    with Operators() as ran:
        masks = box_masks(boxes, (4, 6), boxes[0])
        given.update(zip(('foreground', 'background'), masks, strict=True))
        pooled = attention_pool(given['student'], torch.ones(3).double())
        (sum(focal_global_distances(**given)) + pooled.sum()).backward()
    assert 'amax' in ran.names
    assert not ran.names & WAITS
