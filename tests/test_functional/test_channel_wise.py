"""CWD against values of its paper's formula, worked out in float64."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, softmax

from mmdistill_dense.functional import channel_wise_divergence as cwd

# Mean over N and C of tau^2 KL of the fixture maps, for each tau.
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


@pytest.mark.parametrize('tau', VALUES)
def test_parity_values(maps, tau):
    student, teacher = maps
    value = cwd(student=student, teacher=teacher, tau=tau)
    # tau^2 scales the rounding, too, which processors differ in.
    rounding = 1e-12 + 1e-16 * tau**2
    assert value.item() == pytest.approx(VALUES[tau], abs=rounding, rel=1e-12)


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
    ('tau', 'expected', 'toolbox'),
    [
        (1, 1.934063573650399, 2.901095360475598),
        (4, 2.368418802601286, 3.552628203901929),
    ],
)
def test_divisor_is_the_teachers_channels(maps, tau, expected, toolbox):
    # Toolboxes that divide before their align conv are C_t/C_s = 3/2 higher.
    _, teacher = maps
    rs = np.random.RandomState(2)
    student = torch.from_numpy(2 * rs.randn(2, 2, 4, 5))
    weight = torch.from_numpy(0.5 * rs.randn(3, 2)).view(3, 2, 1, 1)
    value = cwd(student=conv2d(student, weight), teacher=teacher, tau=tau)
    assert value.item() == pytest.approx(expected, abs=1e-12)
    assert value.item() * 3 / 2 == pytest.approx(toolbox, abs=1e-12)
