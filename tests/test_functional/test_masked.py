"""Masks of receptive tokens and their distance, in float64.

The official distances are held through the losses, in
``tests/test_models/test_masked_losses.py``.
"""

from types import SimpleNamespace

import pytest
import torch
from torch.autograd import gradcheck

from mmdistill_dense.functional import (
    mask_diversity,
    masked_distance,
    receptive_masks,
)
from mmdistill_dense.functional.masked import _EPS
from tests.helpers.tokens import official as official_draw


@pytest.fixture
def official():
    """Maps (2, 4, 3, 5), three tokens and their weights."""
    drawn = official_draw()
    student, teacher = drawn.student, drawn.teacher
    tokens = drawn.level['mask_token']
    first = [x.flatten()[0].item() for x in (student, teacher, tokens)]
    known = [1.764052345967664, 0.376425531155629, -0.637437025552229]
    assert first == pytest.approx(known, abs=1e-15)
    masks = receptive_masks(teacher, tokens)
    return SimpleNamespace(
        student=student,
        teacher=teacher,
        tokens=tokens,
        masks=masks,
        maps=dict(student=student.requires_grad_(), teacher=teacher),
    )


def test_the_official_masks(official):
    expected = [7.328582791414514, 6.881484509489493, 7.202492921321326]
    sums = official.masks.sum((2, 3))[0].tolist()
    assert sums == pytest.approx(expected, abs=1e-12)


def test_the_official_dice(official):
    value = mask_diversity(official.masks).item()
    assert value == pytest.approx(0.884892359738548, abs=1e-12)


def plain(official, masks, weights):
    """As it is written in the paper's code: every channel of every mask."""
    difference = (official.student - official.teacher)[:, None]
    squared = (masks[:, :, None] * difference).square().sum((3, 4))
    distances = squared / masks.sum((2, 3))[:, :, None]  # N,T,C
    return (weights * distances.mean(2)).sum(1).mean()


def test_value_and_gradient_are_those_of_the_plain_form(official):
    weights = torch.rand(2, 3, dtype=torch.float64).softmax(1)
    expected = plain(official, official.masks, weights)
    value = masked_distance(
        **official.maps, masks=official.masks, token_weights=weights
    )
    assert value.item() == pytest.approx(expected.item(), abs=1e-14)
    gradients = (
        torch.autograd.grad(x, official.student)[0] for x in (value, expected)
    )
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-15)


def test_weights_of_one_over_t_are_the_mean(official):
    even = torch.full((2, 3), 1 / 3, dtype=torch.float64)
    settings = dict(**official.maps, masks=official.masks)
    one = masked_distance(**settings)
    other = masked_distance(**settings, token_weights=even)
    assert one.item() == pytest.approx(other.item(), abs=1e-14)


def test_a_mask_of_a_half_gives_half_the_mean_squared_error(official):
    half = torch.full_like(official.masks, 0.5)
    value = masked_distance(**official.maps, masks=half)
    assert value.item() == pytest.approx(0.886740408777739, abs=1e-12)


def test_zero_where_the_maps_agree_under_the_masks(official):
    masks = official.masks.clone()
    masks[..., 0] = 0
    other = official.teacher.clone()
    other[..., 0] += 5
    value = masked_distance(
        student=other, teacher=official.teacher, masks=masks
    )
    assert value.item() == 0


def test_an_empty_mask_counts_as_nothing(official):
    # The official code gives NaN.
    masks = official.masks.clone()
    masks[0, 1] = 0
    value = masked_distance(**official.maps, masks=masks)
    value.backward()
    weights = torch.tensor([[1.0, 0, 1], [1, 1, 1]]).double() / 3
    without = masked_distance(
        **official.maps, masks=official.masks, token_weights=weights
    )
    assert value.item() == pytest.approx(without.item(), abs=1e-14)
    assert torch.isfinite(official.student.grad).all()
    none = masked_distance(**official.maps, masks=torch.zeros_like(masks))
    assert none.item() == 0


def test_gradcheck(official):
    weights = torch.rand(2, 3, dtype=torch.float64)

    def distance(student):
        return masked_distance(
            student=student,
            teacher=official.teacher,
            masks=official.masks,
            token_weights=weights,
        )

    assert gradcheck(distance, (official.student,))
    tokens = official.tokens.clone().requires_grad_()
    assert gradcheck(
        lambda e: mask_diversity(receptive_masks(official.teacher, e)),
        (tokens,),
    )


def test_dice_by_hand():
    # (1, 0) and (1, 1): 2 * 1 / (1 + 2). Equal masks 1, disjoint ones 0.
    def dice(*rows):
        masks = torch.tensor(rows).view(1, 2, 1, 2)
        return mask_diversity(masks).item()

    assert dice((1.0, 0.0), (1.0, 1.0)) == pytest.approx(2 / 3)
    assert dice((1.0, 0.5), (1.0, 0.5)) == pytest.approx(1)
    assert dice((1.0, 0.0), (0.0, 1.0)) == 0


def test_dice_of_empty_masks_is_finite():
    masks = torch.zeros(2, 3, 4, 4, requires_grad=True)
    value = mask_diversity(masks)
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(masks.grad).all()
    assert _EPS > 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_follows_float32(dtype):
    # In fp16 the sum of such a mask is inf beyond 65,504.
    torch.manual_seed(0)
    size = (200, 336)
    teacher = torch.randn(1, 8, *size).to(dtype)
    full = torch.randn(1, 8, *size).to(dtype)
    tokens = 5 + torch.randn(2, 8)
    grads, values = {}, {}
    for precision in (torch.float32, dtype):
        student = full.to(precision).requires_grad_()
        masks = receptive_masks(teacher.to(precision), tokens)
        assert masks.dtype == torch.float32
        value = masked_distance(
            student=student, teacher=teacher.to(precision), masks=masks
        )
        (value * 2.0**16).backward()
        grads[precision] = student.grad.float()
        values[precision] = value.item()
    assert values[dtype] == pytest.approx(values[torch.float32], rel=1e-5)
    difference = (grads[dtype] - grads[torch.float32]).norm()
    assert difference / grads[torch.float32].norm() < 4e-3


def test_float32_inside_autocast(official):
    student, teacher = official.student.detach().float(), official.teacher
    teacher, tokens = teacher.float(), official.tokens.float()

    def everything():
        masks = receptive_masks(teacher, tokens)
        distance = masked_distance(
            student=student, teacher=teacher, masks=masks
        )
        return distance, mask_diversity(masks)

    expected = everything()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        values = everything()
    assert [v.item() for v in values] == [v.item() for v in expected]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(masks=torch.rand(2, 3, 3, 4)), r'masks \(2, 3, 3, 4\) do not'),
        (dict(masks=torch.rand(1, 3, 3, 5)), 'N, H and W must agree'),
        (dict(masks=torch.rand(3, 3, 5)), r'non-empty \(N, T, H, W\)'),
        (dict(token_weights=torch.rand(3, 2)), r'must have shape \(2, 3\)'),
        (dict(eps=-1e-5), 'eps must be a finite number >= 0'),
        (dict(eps=float('nan')), 'eps must be a finite number >= 0'),
    ],
)
def test_what_a_distance_refuses(official, changes, message):
    settings = dict(**official.maps, masks=official.masks)
    with pytest.raises(ValueError, match=message):
        masked_distance(**{**settings, **changes})


def test_what_masks_refuse(official):
    with pytest.raises(ValueError, match='features have 4 channels, tokens 5'):
        receptive_masks(official.teacher, torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r'got \(2, 4, 3\) and \(3, 4\)'):
        receptive_masks(official.teacher[..., 0], official.tokens)
    with pytest.raises(ValueError, match='at least 2 tokens'):
        mask_diversity(official.masks[:, :1])
