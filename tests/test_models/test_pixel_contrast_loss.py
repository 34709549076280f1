"""The registered form of PCD's loss."""

import pytest
import torch
from torch.nn.functional import normalize

from mmdistill_dense.functional import pixel_contrast_statistics
from mmdistill_dense.models.pcd import PixelContrastLoss


@pytest.fixture
def given():
    torch.manual_seed(0)
    return dict(
        student=torch.randn(2, 4, 3, 5),
        teacher=torch.randn(2, 4, 3, 5),
        queue=normalize(torch.randn(4, 16), dim=0),
        valid=torch.rand(2, 3, 5) > 0.5,
    )


def test_it_is_the_function_and_its_weight(given):
    loss, logged = PixelContrastLoss(tau=0.5, loss_weight=3, chunk=4)(**given)
    expected, statistics = pixel_contrast_statistics(**given, tau=0.5)
    assert loss.item() == pytest.approx(3 * expected.item())
    assert list(logged) == ['positive', 'hardest', 'top1']
    for name, value in statistics.items():
        assert logged[name].item() == pytest.approx(value.item())


def test_statistics_do_not_know_the_weight(given):
    one, five, zero = (
        PixelContrastLoss(loss_weight=w)(**given)[1] for w in (1, 5, 0)
    )
    assert one == five == zero


def test_its_defaults_are_the_papers():
    assert repr(PixelContrastLoss()) == (
        'PixelContrastLoss(tau=0.2, loss_weight=1.0, chunk=None)'
    )


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(tau=0), 'PixelContrastLoss: tau must be .* above 0, got 0'),
        (dict(chunk=0), 'PixelContrastLoss: chunk must be .* got 0'),
        (dict(chunk='auto'), "PixelContrastLoss: chunk must be .* got 'auto'"),
    ],
)
def test_what_it_refuses_when_built(settings, message):
    with pytest.raises(ValueError, match=message):
        PixelContrastLoss(**settings)
