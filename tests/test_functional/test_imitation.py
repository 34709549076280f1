"""Smooth L1 distance of the outputs of two heads."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from mmdistill_dense.functional import smooth_l1_distance


def distance(student, teacher, **settings):
    return smooth_l1_distance(student=student, teacher=teacher, **settings)


@pytest.fixture(params=[(7, 4), (2, 3, 4, 5)], ids=['regions', 'maps'])
def outputs(request):
    """Student with a gradient, and teacher, in float64; no kinks near."""
    student = torch.randn(request.param, dtype=torch.float64) * 2
    return student.requires_grad_(), torch.randn_like(student)


@pytest.mark.parametrize(
    ('beta', 'expected'),
    [
        # Differences 0.5, -3 and 0.1.
        (1.0, (0.5**2 / 2 + (3 - 0.5) + 0.1**2 / 2) / 3),
        (0.2, ((0.5 - 0.1) + (3 - 0.1) + 0.1**2 / 0.4) / 3),
        (0, (0.5 + 3 + 0.1) / 3),
    ],
)
def test_a_value_derived_by_hand(beta, expected):
    student = torch.tensor([[1.5, -1.0, 0.1]], dtype=torch.float64)
    teacher = torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64)
    value = distance(student, teacher, beta=beta)
    assert value.item() == pytest.approx(expected, abs=1e-15)


def test_zero_where_the_two_agree(outputs):
    student, _ = outputs
    assert distance(student, student.detach().clone()).item() == 0


def test_the_mean_is_over_all_elements(outputs):
    # So that twice as many regions, or images, change nothing.
    student, teacher = outputs
    twice = (torch.cat([x, x]) for x in outputs)
    expected = distance(student, teacher).item()
    assert distance(*twice).item() == pytest.approx(expected, abs=1e-15)


def test_gradcheck(outputs):
    student, teacher = outputs
    assert gradcheck(lambda s: distance(s, teacher, beta=0.7), (student,))


def test_of_no_regions_it_is_zero_and_has_a_gradient():
    student = torch.zeros(0, 4, requires_grad=True)
    value = distance(student * 2, torch.zeros(0, 4))
    value.backward()
    assert value.item() == 0
    assert student.grad.shape == (0, 4)


@pytest.mark.parametrize('beta', [-1, math.inf, math.nan])
def test_betas_that_are_refused(outputs, beta):
    with pytest.raises(ValueError, match='beta must be a finite number >= 0'):
        distance(*outputs, beta=beta)


def test_what_does_not_fit_is_refused(outputs):
    student, teacher = outputs
    with pytest.raises(
        ValueError,
        match=r'student \(512, 4\) and teacher \(512, 320\) differ, .*'
        'class-agnostic',
    ):
        distance(torch.zeros(512, 4), torch.zeros(512, 320))
    with pytest.raises(TypeError, match='teacher must be a floating point'):
        distance(student, teacher.long())
