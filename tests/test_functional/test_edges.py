"""KL divergence between edge distributions, of LD and CrossKD."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from mmdistill_dense.functional import edge_divergence


def rows():
    """Rows of the parity fixture as the left edges of one image."""
    student, teacher = torch.zeros(2, 1, 20, 1, 6).double()
    for seed, x in enumerate((student, teacher)):
        values = 2 * np.random.RandomState(seed).randn(6, 5)
        x[0, :5, 0] = torch.from_numpy(values).T
    weight = torch.from_numpy(np.random.RandomState(2).rand(6)).view(1, 1, 6)
    return student.requires_grad_(), teacher, weight


@pytest.mark.parametrize(
    ('divisor', 'expected'),
    [(4, 0.3135882501599918), (4 + 2**-23, 0.31358824081433395)],
)
def test_weighted_rows_equal_those_of_ld(divisor, expected):
    student, teacher, weight = rows()
    value = edge_divergence(
        student=student, teacher=teacher, weight=weight, tau=10.0
    ) / (5 * divisor)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-12)
    if divisor == 4:
        norm = student.grad.norm().item()
        assert norm == pytest.approx(0.05511593349890497, rel=1e-12)
        first = student.grad[0, :3, 0, 0].tolist()
        assert first == pytest.approx(
            [
                -0.012394703046261743,
                -2.3171594051698188e-3,
                1.351082450736666e-3,
            ],
            rel=1e-12,
        )


def test_plain_rows_equal_those_of_ld():
    student, teacher, weight = rows()
    value = edge_divergence(
        student=student, teacher=teacher, weight=torch.ones_like(weight)
    )
    assert value.item() / 30 == pytest.approx(0.2657172701365747, rel=1e-12)


def drawn():
    student, teacher = torch.randn(2, 2, 12, 3, 4).double()
    return student.requires_grad_(), teacher, torch.rand(2, 3, 4).double()


def test_gradcheck_of_what_has_a_weight():
    student, teacher, weight = drawn()
    weight[0, 1] = 0
    assert gradcheck(
        lambda s: edge_divergence(
            student=s, teacher=teacher, weight=weight, tau=3.0
        ),
        (student,),
    )
    edge_divergence(student=student, teacher=teacher, weight=weight).backward()
    assert torch.equal(student.grad[0, :, 1], torch.zeros(12, 4).double())
    assert student.grad[1].abs().min() > 0


def test_each_edge_has_a_softmax_of_its_own():
    _, teacher, weight = drawn()
    constants = torch.randn(2, 4, 1, 3, 4).double()
    moved = teacher.unflatten(1, (4, 3)) + constants
    value = edge_divergence(
        student=moved.flatten(1, 2), teacher=teacher, weight=weight
    )
    assert value.item() == pytest.approx(0, abs=1e-14)


def test_without_any_weight_there_is_nothing():
    student, teacher, weight = drawn()
    value = edge_divergence(
        student=student, teacher=teacher, weight=torch.zeros_like(weight)
    )
    value.backward()
    assert value.item() == 0
    assert not student.grad.any()


@pytest.mark.parametrize(
    ('channels', 'weights', 'settings', 'message'),
    [
        (6, (2, 3, 4), {}, '4 edges of at least 2 bins each, got 6 channels'),
        (4, (2, 3, 4), {}, '4 edges of at least 2 bins each, got 4 channels'),
        (8, (2, 12), {}, r'weight must have shape \(2, 3, 4\)'),
        (8, (2, 3, 4), dict(tau=0), 'tau must be a finite number above 0'),
    ],
)
def test_what_does_not_fit_is_refused(channels, weights, settings, message):
    maps = torch.zeros(2, channels, 3, 4)
    with pytest.raises(ValueError, match=f'edge_divergence: .*{message}'):
        edge_divergence(
            student=maps, teacher=maps, weight=torch.ones(weights), **settings
        )
