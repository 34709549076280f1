"""Distance of class scores, and overlap of boxes, of CrossKD."""

import pytest
import torch
from mmdet.models.losses import GIoULoss
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from torch.autograd import gradcheck
from torch.nn.functional import binary_cross_entropy_with_logits

from mmdistill_dense.functional import (
    decode_boxes,
    focal_score_distance,
    largest_scores,
    overlap_distance,
    transferred_statistics,
)


def drawn(channels=6):
    """Maps of two priors a cell, and their weights."""
    student, teacher = torch.randn(2, 2, channels, 3, 4).double()
    weight = torch.rand(2, 2, 3, 4).double()
    return student.requires_grad_(), teacher, weight


def test_scores_are_those_of_a_quality_focal_loss():
    student, teacher, weight = drawn()
    value = focal_score_distance(
        student=student, teacher=teacher, weight=weight
    )
    q = teacher.sigmoid()
    entropy = binary_cross_entropy_with_logits(student, q, reduction='none')
    plain = (student.sigmoid() - q).abs() * entropy
    expected = (plain.unflatten(1, (2, 3)) * weight[:, :, None]).sum()
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    gradients = (
        torch.autograd.grad(x, student, retain_graph=True)[0]
        for x in (value, expected)
    )
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)


def test_gradcheck_of_scores():
    student, teacher, weight = drawn()
    weight[0, 1] = 0
    assert gradcheck(
        lambda s: focal_score_distance(
            student=s, teacher=teacher, weight=weight
        ),
        (student,),
    )
    same = focal_score_distance(
        student=student, teacher=student.detach().clone(), weight=weight
    )
    same.backward()
    assert same.item() == 0
    assert not student.grad.any()


@pytest.mark.parametrize('gap', [-60.0, 60.0, 3e4])
def test_scores_are_finite_at_any_gap(gap):
    student = torch.full((1, 1, 1, 1), gap, requires_grad=True)
    value = focal_score_distance(
        student=student,
        teacher=-student.detach(),
        weight=torch.ones_like(student),
    )
    value.backward()
    assert value.item() == pytest.approx(abs(gap))
    assert student.grad.abs().item() == pytest.approx(1)


@pytest.mark.parametrize(
    'shape', [(2, 3, 4), (2, 4, 3, 4), (2, 2, 4, 3), (1, 2, 3, 4)]
)
def test_weights_of_other_priors_are_refused(shape):
    student, teacher, _ = drawn()
    with pytest.raises(ValueError, match=r'weight must have shape \(2, A, 3'):
        focal_score_distance(
            student=student, teacher=teacher, weight=torch.ones(shape)
        )


def test_the_largest_score_has_no_gradient_and_full_precision():
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    found = largest_scores(logits)
    torch.testing.assert_close(found, logits.detach().sigmoid().amax(1))
    assert not found.requires_grad
    assert largest_scores(logits.half()).dtype == torch.float32
    assert largest_scores(logits.double()).dtype == torch.float64


def priors():
    corners = torch.tensor([[-16.0, -16, 16, 16], [-24, -12, 24, 12]])
    grid = torch.arange(12.0).view(3, 4)
    shifted = corners.view(2, 4, 1, 1) + 3 * grid
    return shifted.double().expand(2, -1, -1, -1, -1)


def test_boxes_and_overlaps_are_those_of_mmdet():
    student, teacher, weight = drawn(8)
    means, stds = (0.0, 0.1, 0.0, -0.1), (0.1, 0.1, 0.2, 0.2)
    coder = DeltaXYWHBBoxCoder(means, stds)
    rows = [
        x.unflatten(1, (-1, 4)).movedim(2, -1).reshape(-1, 4)
        for x in (student, teacher)
    ]
    anchors = priors().movedim(2, -1).reshape(-1, 4)
    boxes = [coder.decode(anchors, x) for x in rows]
    found = decode_boxes(teacher.unflatten(1, (-1, 4)), priors(), means, stds)
    torch.testing.assert_close(
        found.movedim(2, -1).reshape(-1, 4), boxes[1], rtol=1e-12, atol=1e-12
    )
    expected = GIoULoss(reduction='none')(*boxes) * weight.flatten()
    value = overlap_distance(
        student=student,
        teacher=teacher,
        priors=priors(),
        weight=weight,
        means=means,
        stds=stds,
    )
    assert value.item() == pytest.approx(expected.sum().item(), rel=1e-12)
    gradients = (
        torch.autograd.grad(x, student, retain_graph=True)[0]
        for x in (value, expected.sum())
    )
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


def test_gradcheck_of_overlaps():
    student, teacher, weight = drawn(8)
    settings = dict(teacher=teacher, priors=priors(), weight=weight)
    assert gradcheck(
        lambda s: overlap_distance(student=s, **settings), (student,)
    )
    same = overlap_distance(
        student=teacher, **{**settings, 'teacher': teacher.clone()}
    )
    assert same.item() == pytest.approx(0, abs=1e-12)


def test_overlaps_of_points_and_far_boxes_are_finite():
    student = torch.full((1, 4, 1, 1), 1e4, requires_grad=True)
    for size in (0.0, 8.0):
        prior = torch.tensor([0, 0, size, size]).view(1, 1, 4, 1, 1)
        value = overlap_distance(
            student=student,
            teacher=-student.detach(),
            priors=prior,
            weight=torch.ones(1, 1, 1, 1),
        )
        value.backward()
        assert value.isfinite()
        assert student.grad.isfinite().all()


def test_priors_that_do_not_fit_are_refused():
    student, teacher, weight = drawn(8)
    for changed in (
        dict(priors=priors()[:, :1]),
        dict(weight=weight[:, :1]),
        dict(student=student[:, :6], teacher=teacher[:, :6]),
    ):
        settings = dict(
            student=student, teacher=teacher, priors=priors(), weight=weight
        )
        with pytest.raises(ValueError, match=r'need priors .* got'):
            overlap_distance(**{**settings, **changed})


def test_statistics_are_those_of_the_reference():
    student, reference, _ = drawn()
    found = transferred_statistics(student, reference[:1, :, :2])
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(
            statistic(found, (0, 2, 3)),
            statistic(reference[:1, :, :2], (0, 2, 3)),
            rtol=1e-5,
            atol=1e-5,
        )
    assert gradcheck(
        lambda s: transferred_statistics(s, reference), (student,)
    )


def test_a_constant_channel_gets_the_mean_and_no_gradient():
    student = torch.full((2, 1, 2, 3), 100.1, requires_grad=True)
    reference = torch.randn(2, 1, 2, 3, requires_grad=True)
    found = transferred_statistics(student, reference)
    (found * torch.randn(2, 1, 2, 3)).sum().backward()
    expected = reference.detach().mean().expand(2, 1, 2, 3)
    torch.testing.assert_close(found.detach(), expected)
    assert not student.grad.any()
    assert reference.grad is None
    single = torch.ones(1, 1, 1, 1, requires_grad=True)
    transferred_statistics(single, 3 * single).sum().backward()
    assert not single.grad.any()
    with torch.autocast('cpu', torch.bfloat16):
        half = transferred_statistics(student.bfloat16(), reference.bfloat16())
    assert half.dtype == torch.float32
