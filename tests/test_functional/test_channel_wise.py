"""CWD against values of its paper's formula, worked out in float64."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import conv2d, softmax

from mmdistill_dense.functional import channel_wise_divergence as cwd

# Mean over N and C of tau^2 KL on the fixture below, for each tau.
VALUES = {
    0.5: 1.647831527547851,
    1: 2.604804531346155,
    2: 3.084227356584842,
    4: 3.199541018159892,
    1000: 3.171123397694660,
}
# tau^2 times the teacher's entropy: what toolboxes add that report CE.
ENTROPY = {
    0.5: 0.113338459667143,
    1: 1.620289868833817,
    2: 10.218233710604746,
    4: 46.111429436460888,
    1000: 2995730.536494549,
}


@pytest.fixture
def maps():
    rs = np.random.RandomState(0)
    student, teacher = (
        torch.from_numpy(2 * rs.randn(2, 3, 4, 5)) for _ in range(2)
    )
    assert student[0, 0, 0, 0].item() == 3.528104691935328
    assert teacher.sum().item() == pytest.approx(-8.939999130150872, abs=1e-12)
    return student.requires_grad_(), teacher


def test_a_value_derived_by_hand():
    # p_T = (3/4, 1/4), p_S = (1/2, 1/2):
    # 3/4 log(3/2) + 1/4 log(1/2) = 0.1308120...
    student = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    teacher = torch.tensor([3.0, 1.0], dtype=torch.float64).log()
    value = cwd(student=student, teacher=teacher.view(1, 1, 1, 2), tau=1.0)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert value.item() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize('tau', VALUES)
def test_parity_values(maps, tau):
    student, teacher = maps
    value = cwd(student=student, teacher=teacher, tau=tau)
    assert value.item() == pytest.approx(VALUES[tau], abs=1e-12, rel=1e-12)


def test_per_channel_values(maps):
    student, teacher = maps
    # One (n, c) at a time: the mean over N and C is then that one value.
    expected = [
        [2.575387134996027, 0.847355777190491, 4.594234532314221],
        [2.182765561490756, 3.414835697285929, 2.014248484799506],
    ]
    for n in range(2):
        for c in range(3):
            one = slice(n, n + 1), slice(c, c + 1)
            value = cwd(student=student[one], teacher=teacher[one], tau=1)
            assert value.item() == pytest.approx(expected[n][c], abs=1e-12)


@pytest.mark.parametrize(
    ('tau', 'norm', 'first'),
    [
        (1, 0.272528766551833, 0.019601805310265),
        (4, 0.241099238895060, 0.019270267974078),
    ],
)
def test_parity_gradients(maps, tau, norm, first):
    student, teacher = maps
    cwd(student=student, teacher=teacher, tau=tau).backward()
    grad = student.grad
    assert grad.norm().item() == pytest.approx(norm, abs=1e-12)
    assert grad[0, 0, 0, 0].item() == pytest.approx(first, abs=1e-12)
    # tau/(N C) (p_S - p_T), which sums to zero in every channel.
    p, q = (softmax(x.detach().flatten(2) / tau, -1) for x in maps)
    expected = (tau / 6 * (p - q)).view_as(grad)
    torch.testing.assert_close(grad, expected, rtol=0, atol=1e-15)
    assert grad.sum((2, 3)).abs().max() < 1e-15


def test_large_tau_is_half_the_variance_of_the_difference(maps):
    student, teacher = maps
    value = cwd(student=student, teacher=teacher, tau=1e5)
    limit = (student - teacher).var((2, 3), unbiased=False).mean() / 2
    assert limit.item() == pytest.approx(3.170711653499849, abs=1e-12)
    assert value.item() == pytest.approx(limit.item(), rel=1e-4)


def test_gradcheck(maps):
    student, teacher = maps
    assert gradcheck(
        lambda s: cwd(student=s, teacher=teacher, tau=2.0), (student,)
    )


def test_no_gradient_reaches_the_teacher(maps):
    student, teacher = maps
    teacher.requires_grad_()
    cwd(student=student, teacher=teacher, tau=1.0).backward()
    assert teacher.grad is None
    assert student.grad.abs().max() > 0


def test_zero_where_maps_agree_up_to_a_constant_per_channel(maps):
    _, teacher = maps
    student = teacher + torch.randn(2, 3, 1, 1, dtype=torch.float64)
    value = cwd(student=student, teacher=teacher, tau=1.0)
    assert value.item() == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize('tau', ENTROPY)
def test_toolboxes_that_report_cross_entropy_add_the_entropy(maps, tau):
    student, teacher = maps
    p = softmax(teacher.flatten(2) / tau, -1)
    log_q = torch.log_softmax(student.flatten(2) / tau, -1)
    cross_entropy = -(tau**2) * (p * log_q).sum(-1).mean()
    value = cwd(student=student, teacher=teacher, tau=tau)
    added = (cross_entropy - value).item()
    assert added == pytest.approx(ENTROPY[tau], rel=1e-9)


@pytest.mark.parametrize(
    ('tau', 'ours', 'theirs'),
    [
        (1, 1.934063573650399, 2.901095360475598),
        (4, 2.368418802601286, 3.552628203901929),
    ],
)
def test_divisor_is_the_teachers_channels(maps, tau, ours, theirs):
    # Toolboxes that divide before their align conv are C_t/C_s = 3/2 higher.
    _, teacher = maps
    rs = np.random.RandomState(2)
    student = torch.from_numpy(2 * rs.randn(2, 2, 4, 5))
    weight = torch.from_numpy(0.5 * rs.randn(3, 2)).view(3, 2, 1, 1)
    value = cwd(student=conv2d(student, weight), teacher=teacher, tau=tau)
    assert value.item() == pytest.approx(ours, abs=1e-12)
    assert value.item() * 3 / 2 == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (13, 1), (7, 11)])
def test_any_height_and_width(size):
    student = torch.randn(2, 3, *size, requires_grad=True)
    value = cwd(student=student, teacher=torch.randn(2, 3, *size), tau=1.0)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(student.grad).all()


def test_any_memory_format(maps):
    student, teacher = (m.detach() for m in maps)
    expected = cwd(student=student, teacher=teacher, tau=1.0)
    last = torch.channels_last
    strided = student.repeat(1, 1, 1, 2)[..., ::2]
    strided.copy_(student)
    for s, t in (
        (student.to(memory_format=last), teacher),
        (student, teacher.to(memory_format=last)),
        (strided, teacher.transpose(2, 3).contiguous().transpose(2, 3)),
    ):
        value = cwd(student=s, teacher=t, tau=1.0)
        assert value.item() == pytest.approx(expected.item(), abs=1e-14)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_finite_at_extreme_gaps(dtype):
    # softmax-then-log gives inf in fp32 and NaN in fp16 here; the value of
    # the formula is 120: the teacher is sure of position 0, the student
    # gives it exp(-120).
    student = torch.tensor([0.0, 30, 120]).view(1, 1, 1, 3)
    teacher = torch.tensor([60.0, 0, 0]).view(1, 1, 1, 3)
    for kind in (torch.float32, dtype):
        s = student.clone().to(kind).requires_grad_()
        value = cwd(student=s, teacher=teacher.to(kind), tau=1.0)
        value.backward()
        assert value.item() == pytest.approx(120, rel=1e-5)
        assert torch.isfinite(s.grad).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_maps_follow_float32(dtype):
    # 200x336 is P2 of a 800x1333 image: a softmax is around 1.5e-5 there and
    # a gradient that over N*C = 16, 1e-6, of which fp16 keeps few digits
    # without a loss scale such as GradScaler's.
    scale = 2.0**16
    full = torch.randn(1, 16, 200, 336)
    teacher = torch.randn(1, 16, 200, 336)
    grads = {}
    for kind in (torch.float32, dtype):
        # Both start from the rounded maps, so only the loss differs.
        student = full.to(dtype).to(kind).requires_grad_()
        value = cwd(
            student=student, teacher=teacher.to(dtype).to(kind), tau=1.0
        )
        (value * scale).backward()
        grads[kind] = student.grad.float() / scale
    difference = (grads[dtype] - grads[torch.float32]).norm()
    assert difference / grads[torch.float32].norm() < 4e-3
    assert (grads[dtype] == 0).float().mean() < 0.01


def test_float32_inside_autocast(maps):
    student, teacher = (m.detach().float() for m in maps)
    expected = cwd(student=student, teacher=teacher, tau=1.0)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = cwd(student=student, teacher=teacher, tau=1.0)
    assert value.dtype == torch.float32
    assert value.item() == expected.item()


@pytest.mark.parametrize(
    ('student', 'teacher', 'message'),
    [
        ((2, 3, 4, 5), (3, 2, 4, 5), r'student \(2, 3, 4, 5\) and teacher'),
        ((2, 3, 4, 5), (2, 3, 5, 4), 'expected one shape'),
        ((2, 3, 4), (2, 3, 4), 'student must be a non-empty'),
        ((0, 3, 4, 5), (0, 3, 4, 5), 'student must be a non-empty'),
    ],
)
def test_shapes_that_are_refused(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        cwd(student=torch.zeros(student), teacher=torch.zeros(teacher))


@pytest.mark.parametrize('tau', [0, -1.0, math.inf, math.nan])
def test_temperatures_that_are_refused(maps, tau):
    student, teacher = maps
    with pytest.raises(ValueError, match='tau must be a finite number above'):
        cwd(student=student, teacher=teacher, tau=tau)


def test_what_is_no_floating_tensor_is_refused(maps):
    student, _ = maps
    with pytest.raises(TypeError, match='teacher must be a floating point'):
        cwd(student=student, teacher=student.detach().long())
    with pytest.raises(TypeError, match=r'student must be .* got list'):
        cwd(student=[student], teacher=student)
