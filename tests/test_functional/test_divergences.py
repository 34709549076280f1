"""What holds for every divergence, whatever its softmax runs over."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import gradcheck

from mmdistill_dense.functional import (
    channel_wise_divergence,
    pixel_wise_divergence,
)

#: Axes of the softmax, and where a line of n values lies along them.
KINDS = dict(
    channel_wise=SimpleNamespace(
        divergence=channel_wise_divergence,
        axes=(2, 3),
        line=lambda *x: torch.tensor(x).view(1, 1, 1, -1),
    ),
    pixel_wise=SimpleNamespace(
        divergence=pixel_wise_divergence,
        axes=(1,),
        line=lambda *x: torch.tensor(x).view(1, -1, 1, 1),
    ),
)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def softmax_of(kind, x, tau):
    weights = (x.detach() / tau).exp()
    return weights / weights.sum(kind.axes, keepdim=True)


def distributions(kind, x):
    """How many there are in a map: all but what the softmax runs over."""
    return x.numel() / math.prod(x.shape[axis] for axis in kind.axes)


def test_a_value_derived_by_hand(kind):
    # p_T = (3/4, 1/4), p_S = (1/2, 1/2):
    # 3/4 log(3/2) + 1/4 log(1/2) = 0.1308120...
    value = kind.divergence(
        student=kind.line(0.0, 0.0).double(),
        teacher=kind.line(3.0, 1.0).double().log(),
    )
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert value.item() == pytest.approx(expected, abs=1e-15)


def test_zero_where_maps_agree_up_to_a_constant(kind, maps):
    _, teacher = maps
    shape = [1 if d in kind.axes else n for d, n in enumerate(teacher.shape)]
    student = teacher + torch.randn(shape, dtype=torch.float64)
    value = kind.divergence(student=student, teacher=teacher)
    assert value.item() == pytest.approx(0, abs=1e-14)


def test_large_tau_is_half_the_variance_of_the_difference(kind, maps):
    student, teacher = maps
    value = kind.divergence(student=student, teacher=teacher, tau=1e5)
    limit = (student - teacher).var(kind.axes, unbiased=False).mean() / 2
    assert value.item() == pytest.approx(limit.item(), rel=1e-4)


def test_gradcheck(kind, maps):
    student, teacher = maps
    assert gradcheck(
        lambda s: kind.divergence(student=s, teacher=teacher, tau=2.0),
        (student,),
    )


@pytest.mark.parametrize('tau', [1, 4])
def test_the_gradient_is_a_difference_of_softmaxes(kind, maps, tau):
    # tau/M (p_S - p_T) over M distributions: each sums to zero.
    student, teacher = maps
    kind.divergence(student=student, teacher=teacher, tau=tau).backward()
    p, q = (softmax_of(kind, x, tau) for x in maps)
    expected = tau / distributions(kind, student) * (p - q)
    torch.testing.assert_close(student.grad, expected, rtol=0, atol=1e-15)
    assert student.grad.sum(kind.axes).abs().max() < 1e-15


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (13, 1), (7, 11)])
def test_any_height_and_width(kind, size):
    student = torch.randn(2, 3, *size, requires_grad=True)
    value = kind.divergence(student=student, teacher=torch.randn(2, 3, *size))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


def test_any_memory_format(kind, maps):
    student, teacher = (m.detach() for m in maps)
    expected = kind.divergence(student=student, teacher=teacher)
    last = torch.channels_last
    strided = student.repeat(1, 1, 1, 2)[..., ::2]
    strided.copy_(student)
    for s, t in (
        (student.to(memory_format=last), teacher),
        (student, teacher.to(memory_format=last)),
        (strided, teacher.transpose(2, 3).contiguous().transpose(2, 3)),
    ):
        value = kind.divergence(student=s, teacher=t)
        assert value.item() == pytest.approx(expected.item(), abs=1e-14)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_finite_at_extreme_gaps(kind, dtype):
    # softmax-then-log gives inf in fp32 and NaN in fp16 here; the value of
    # the formula is 120: the teacher is sure of the first, the student
    # gives it exp(-120).
    for precision in (torch.float32, dtype):
        s = kind.line(0.0, 30, 120).to(precision).requires_grad_()
        t = kind.line(60.0, 0, 0).to(precision)
        value = kind.divergence(student=s, teacher=t)
        value.backward()
        assert value.item() == pytest.approx(120, rel=1e-5)
        assert torch.isfinite(s.grad).all()


@pytest.mark.parametrize(
    ('student', 'teacher', 'message'),
    [
        ((2, 3, 4, 5), (3, 2, 4, 5), r'student \(2, 3, 4, 5\) and teacher'),
        ((2, 3, 4, 5), (2, 3, 5, 4), 'expected one shape'),
        ((2, 3, 4), (2, 3, 4), 'student must be a non-empty'),
        ((0, 3, 4, 5), (0, 3, 4, 5), 'student must be a non-empty'),
    ],
)
def test_shapes_that_are_refused(kind, student, teacher, message):
    maps = dict(student=torch.zeros(student), teacher=torch.zeros(teacher))
    with pytest.raises(ValueError, match=message):
        kind.divergence(**maps)


@pytest.mark.parametrize('tau', [0, -1.0, math.inf, math.nan])
def test_temperatures_that_are_refused(kind, maps, tau):
    student, teacher = maps
    with pytest.raises(ValueError, match='tau must be a finite number above'):
        kind.divergence(student=student, teacher=teacher, tau=tau)


def test_what_is_no_floating_tensor_is_refused(kind, maps):
    student, _ = maps
    with pytest.raises(TypeError, match='teacher must be a floating point'):
        kind.divergence(student=student, teacher=student.detach().long())
    with pytest.raises(TypeError, match=r'student must be .* got list'):
        kind.divergence(student=[student], teacher=student)
