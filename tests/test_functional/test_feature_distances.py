"""Distances of maps: PKD, FitNets' hints, and the cosine."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from mmdistill_dense.functional import (
    correlation_distance,
    cosine_distance,
    mean_squared_distance,
    resize_to,
    summed_squared_distance,
)
from tests.helpers.published import check_published, fixture_maps

SQUARES = [mean_squared_distance, summed_squared_distance]
DISTANCES = [correlation_distance, cosine_distance, *SQUARES]


@pytest.fixture
def base():
    """The larger maps of the parity fixtures: (2, 8, 4, 6), float64."""
    return fixture_maps()


def test_pkd_equals_its_published_code(base):
    student, teacher = base
    check_published(
        correlation_distance(student=student, teacher=teacher),
        student,
        1.0071893144912212,
        0.026409964470295217,
        [9.706556753047229e-5, 2.0464125933936698e-3, 1.2872451069781189e-3],
    )
    corner = resize_to(student[:, :, :2, :3], (4, 6))
    value = correlation_distance(student=corner, teacher=teacher)
    assert value.item() == pytest.approx(1.0491527747246392, rel=1e-12)


def test_pkd_is_the_mean_correlation(base):
    student, teacher = base
    rows = (x.detach().transpose(0, 1).flatten(1) for x in base)
    r = [
        np.corrcoef(a.numpy(), b.numpy())[0, 1]
        for a, b in zip(*rows, strict=True)
    ]
    expected = 47 / 48 * (1 - np.mean(r))
    value = correlation_distance(student=student, teacher=teacher)
    assert value.item() == pytest.approx(expected, rel=1e-5)
    scaled = 3 * teacher + 5
    same = correlation_distance(student=scaled, teacher=teacher)
    assert same.item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ('published', 'norm'), [(True, 17853.26), (False, None)]
)
def test_pkd_of_a_constant_channel(base, published, norm):
    student, teacher = base
    student = student.detach().clone()
    student[:, 0] = 1
    student.requires_grad_()
    value = correlation_distance(
        student=student, teacher=teacher, constant_gradient=published
    )
    value.backward()
    assert value.item() == pytest.approx(0.9740829440460006, rel=1e-12)
    if published:
        assert student.grad.norm().item() == pytest.approx(norm, rel=1e-6)
    else:
        assert torch.equal(student.grad[:, 0], torch.zeros(2, 4, 6).double())
        assert 0 < student.grad[:, 1:].abs().max() < 0.1


def test_a_constant_channel_is_known_in_float32_too():
    student = torch.randn(2, 3, 20, 30)
    student[:, 1] = 100.1
    student.requires_grad_()
    correlation_distance(
        student=student, teacher=torch.randn(2, 3, 20, 30)
    ).backward()
    assert torch.equal(student.grad[:, 1], torch.zeros(2, 20, 30))
    assert student.grad.abs().max() < 0.1


def test_hints_equal_the_mean_of_squares(maps):
    student, teacher = maps
    value = mean_squared_distance(student=student, teacher=teacher)
    assert value.item() == pytest.approx(7.093923270221913, rel=1e-12)
    value.backward()
    expected = 2 * (student.detach() - teacher) / teacher.numel()
    torch.testing.assert_close(student.grad, expected)
    empty = torch.zeros(0, 4, requires_grad=True)
    assert mean_squared_distance(student=empty, teacher=empty).item() == 0


def test_sums_are_over_each_image_and_means_over_images(maps):
    student, teacher = maps
    value = summed_squared_distance(student=student, teacher=teacher)
    expected = 3 * 4 * 5 * 7.093923270221913
    assert value.item() == pytest.approx(expected, rel=1e-12)
    twice = (torch.cat([x, x]) for x in maps)
    names = ('student', 'teacher')
    same = summed_squared_distance(**dict(zip(names, twice, strict=True)))
    assert same.item() == pytest.approx(expected, rel=1e-12)


def test_the_cosine_equals_torchs(base):
    student, teacher = base
    check_published(
        cosine_distance(student=student, teacher=teacher),
        student,
        1.050058204324834,
        0.02795585626062483,
    )


def test_the_cosine_after_a_projection_equals_rt_detrs(base):
    student = base[0][:, :5].detach().requires_grad_()
    rs = np.random.RandomState(1)
    linear = nn.Linear(5, 8).double()
    linear.weight.data = torch.from_numpy(0.5 * rs.randn(8, 5))
    linear.bias.data = torch.from_numpy(0.1 * rs.randn(8))

    def projected():
        return linear(student.movedim(1, -1)).movedim(-1, 1)

    value = cosine_distance(student=projected(), teacher=base[1])
    check_published(
        value,
        student,
        1.0070648648273939,
        0.028392692251820072,
        [
            -3.6829112310348406e-3,
            -1.009272804028811e-3,
            -2.5928192494190025e-3,
        ],
    )
    value.backward()
    norms = [p.grad.norm().item() for p in (linear.weight, linear.bias)]
    expected = [0.13850102549388385, 0.046459279478020477]
    assert norms == pytest.approx(expected, rel=1e-12)
    large = torch.from_numpy(np.random.RandomState(2).randn(2, 8, 8, 12))
    check_published(
        cosine_distance(student=projected(), teacher=resize_to(large, (4, 6))),
        student,
        1.1367621823574505,
        0.027703605512754706,
    )


def test_a_vector_without_direction_gets_no_gradient():
    student = torch.zeros(1, 2, 1, 2, requires_grad=True)
    with torch.no_grad():
        student[0, 0, 0, 1] = 3
    teacher = torch.ones(1, 2, 1, 2)
    value = cosine_distance(student=student, teacher=teacher)
    value.backward()
    assert value.item() == pytest.approx((1 + 1 - 0.5**0.5) / 2)
    assert torch.equal(student.grad[..., 0], torch.zeros(1, 2, 1))
    assert 0 < student.grad[..., 1].abs().max() < 1


@pytest.mark.parametrize('distance', DISTANCES)
def test_gradcheck_and_no_gradient_to_the_teacher(maps, distance):
    student, teacher = maps
    teacher = teacher.requires_grad_()
    assert gradcheck(
        lambda s: distance(student=s, teacher=teacher.detach()), (student,)
    )
    distance(student=student, teacher=teacher).backward()
    assert teacher.grad is None
    same = distance(student=student, teacher=student.detach().clone())
    assert same.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize('distance', DISTANCES)
def test_what_does_not_fit_is_refused(maps, distance):
    student, teacher = maps
    with pytest.raises(ValueError, match=distance.__name__):
        distance(student=student, teacher=teacher[:, :2])
    with pytest.raises(TypeError, match='teacher must be a floating point'):
        distance(student=student, teacher=teacher.long())
    if distance not in SQUARES:
        with pytest.raises(ValueError, match='eps must be'):
            distance(student=student, teacher=teacher, eps=0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('distance', DISTANCES)
def test_half_precision_at_a_realistic_size(distance, dtype):
    student, teacher = (torch.randn(1, 16, 200, 336) for _ in range(2))
    results = []
    for kind in (torch.float32, dtype):
        s = student.detach().to(kind).requires_grad_()
        value = distance(student=s, teacher=teacher.to(kind))
        assert value.dtype == torch.float32
        # Scaled as by a GradScaler, and a sum weighted as published.
        weight = 2e-5 if distance is summed_squared_distance else 1
        (weight * value * 2.0**16).backward()
        assert s.grad.isfinite().all()
        results.append((value.item(), s.grad.float() / 2**16))
    (expected, gradient), (found, other) = results
    assert found == pytest.approx(expected, rel=5e-3)
    difference = (gradient - other).norm() / gradient.norm()
    assert difference < 2e-2
