"""Pixel-wise KL against the values that other toolboxes give, in float64."""

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from mmdistill_dense.functional import (
    channel_wise_divergence,
    pixel_wise_divergence,
)


def gradient(value, student):
    return torch.autograd.grad(value, student)[0]


@pytest.mark.parametrize(
    ('tau', 'expected'), [(1, 1.456917977736183), (4, 2.381301715539962)]
)
def test_parity_values(maps, tau, expected):
    student, teacher = maps
    value = pixel_wise_divergence(student=student, teacher=teacher, tau=tau)
    assert value.item() == pytest.approx(expected, abs=1e-12)


def test_each_pixel_counts_once(maps):
    # The mean of the pixels taken one by one, however they are batched.
    student, teacher = maps
    whole = pixel_wise_divergence(student=student, teacher=teacher)
    pixels = [m.permute(0, 2, 3, 1).reshape(-1, 3, 1, 1) for m in maps]
    one_by_one = [
        pixel_wise_divergence(student=s[None], teacher=t[None])
        for s, t in zip(*pixels, strict=True)
    ]
    mean = torch.stack(one_by_one).mean()
    assert mean.item() == pytest.approx(whole.item(), abs=1e-14)


def test_it_is_channel_wise_with_classes_and_positions_exchanged(maps):
    student, teacher = maps
    turned = [m.flatten(2).transpose(1, 2).unsqueeze(-1) for m in maps]
    other = channel_wise_divergence(student=turned[0], teacher=turned[1])
    value = pixel_wise_divergence(student=student, teacher=teacher)
    assert value.item() == pytest.approx(other.item(), abs=1e-14)


def test_skd_is_n_times_higher_and_adds_the_entropy(maps):
    # Cross-entropy, summed over N, divided by H*W.
    student, teacher = maps
    p = softmax(teacher, 1)
    skd = cross_entropy(student, p, reduction='sum') / (4 * 5)
    assert skd.item() == pytest.approx(4.177440743906811, abs=1e-12)
    entropy = cross_entropy(teacher, p, reduction='sum') / (4 * 5)
    value = pixel_wise_divergence(student=student, teacher=teacher)
    assert (skd - entropy).item() == pytest.approx(2 * value.item(), abs=1e-12)
    torch.testing.assert_close(
        gradient(skd, student), 2 * gradient(value, student)
    )


def test_ifvd_and_torch_distiller_are_c_times_lower(maps):
    # KLDivLoss with its default reduction: the mean of all elements.
    student, teacher = maps
    p, log_q = softmax(teacher, 1), log_softmax(student, 1)
    reference = kl_div(log_q, p, reduction='none').mean()
    assert reference.item() == pytest.approx(0.485639325912061, abs=1e-12)
    value = pixel_wise_divergence(student=student, teacher=teacher)
    assert value.item() == pytest.approx(3 * reference.item(), abs=1e-12)
    torch.testing.assert_close(
        gradient(value, student), 3 * gradient(reference, student)
    )


def test_one_class_is_refused(maps):
    student, teacher = (m[:, :1] for m in maps)
    with pytest.raises(ValueError, match=r'at least 2 classes, got .*\(2, 1,'):
        pixel_wise_divergence(student=student, teacher=teacher)
