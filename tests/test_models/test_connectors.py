"""Connectors, and which levels they are built between."""

import re

import pytest
import torch
from torch import nn

from mmdistill_dense.models.connectors import ConvConnector
from mmdistill_dense.models.distillers.alignment import (
    build_connector,
    pair_levels,
)
from mmdistill_dense.models.hosts import FeatureSpec

from ..helpers.batches import detection_batch, step_losses, total
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet


def level(channels=8, stride=8.0):
    return FeatureSpec((1, channels, 4, 4), (stride, stride))


def vector(channels=8):
    return FeatureSpec((1, channels), None)


def pyramid(*strides):
    return [level(stride=s) for s in strides]


def test_one_convolution_with_a_bias():
    connector = ConvConnector(4, 6)
    weights = {k: tuple(v.shape) for k, v in connector.named_parameters()}
    assert weights == {
        'block.conv.weight': (6, 4, 1, 1),
        'block.conv.bias': (6,),
    }
    x = torch.randn(2, 4, 5, 7)
    conv = connector.block.conv
    expected = nn.functional.conv2d(x, conv.weight, conv.bias)
    torch.testing.assert_close(connector(x), expected)


def test_a_norm_replaces_the_bias_and_an_activation_follows():
    connector = ConvConnector(
        4, 6, norm_cfg=dict(type='BN'), act_cfg=dict(type='ReLU')
    )
    assert connector.block.conv.bias is None
    assert isinstance(connector.block.norm, nn.BatchNorm2d)
    x = torch.randn(2, 4, 5, 7)
    before = x.clone()
    assert connector(x).min() == 0
    assert torch.equal(x, before)


@pytest.mark.parametrize(('bias', 'kept'), [(True, True), (False, False)])
def test_a_bias_may_be_set(bias, kept):
    assert (ConvConnector(4, 6, bias=bias).block.conv.bias is not None) is kept


@pytest.mark.parametrize('kernel_size', [1, 3, 5])
def test_the_grid_is_kept(kernel_size):
    connector = ConvConnector(4, 6, kernel_size=kernel_size)
    assert connector(torch.zeros(1, 4, 5, 2)).shape == (1, 6, 5, 2)


def test_it_starts_as_mmcv_or_as_torch_does():
    torch.manual_seed(0)
    kaiming, plain = (
        ConvConnector(64, 64, init=init).block.conv
        for init in ('kaiming', 'torch')
    )
    assert kaiming.weight.std().item() == pytest.approx(2**0.5 / 8, rel=0.05)
    assert plain.weight.abs().max() <= 1 / 8
    assert not kaiming.bias.any()
    assert plain.bias.any()
    with pytest.raises(ValueError, match="'kaiming' or 'torch', got 'zero'"):
        ConvConnector(4, 4, init='zero')


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match=r'kernel_size must be odd, .* got 2'):
        ConvConnector(4, 6, kernel_size=2)


def test_nothing_is_built_where_channels_agree():
    assert isinstance(build_connector(None, level(8), level(8)), nn.Identity)


def test_a_1x1_convolution_is_built_where_channels_differ():
    connector = build_connector(None, level(8), level(12))
    assert isinstance(connector, ConvConnector)
    assert connector.block.conv.weight.shape == (12, 8, 1, 1)


def test_an_explicit_one_is_built_at_every_level():
    cfg = dict(type='mmdistill_dense.ConvConnector', kernel_size=3)
    connector = build_connector(cfg, level(8), level(8))
    assert connector.block.conv.weight.shape == (8, 8, 3, 3)


IDENTITY = dict(type='mmdistill_dense.Identity')


@pytest.mark.parametrize('cfg', ['none', IDENTITY])
def test_none_is_no_connector(cfg):
    assert isinstance(build_connector(cfg, level(8), level(8)), nn.Identity)
    with pytest.raises(
        ValueError,
        match=r'changes nothing, but the student has 8 channels and the '
        'teacher 12, expected equally many. Leave connector out',
    ):
        build_connector(cfg, level(8), level(12))


@pytest.mark.parametrize('cfg', [None, 'none', IDENTITY])
def test_a_loss_may_compare_other_channels(cfg):
    connector = build_connector(cfg, level(8), level(12), False)
    assert isinstance(connector, nn.Identity)


@pytest.mark.parametrize('cfg', [False, True, 0, '', 'conv', [], {}])
def test_what_is_no_connector_is_refused(cfg):
    with pytest.raises(
        ValueError,
        match=r"None \(a 1x1 .*\), 'none' \(no connector\), dict\(type=\.\.\."
        rf'\), or .* got {re.escape(repr(cfg))}\.',
    ):
        build_connector(cfg, level(8), level(12))


def test_its_own_widths_win_over_the_dry_runs():
    cfg = dict(type='mmdistill_dense.ConvConnector', out_channels=5)
    connector = build_connector(cfg, level(8), level(8))
    assert connector.block.conv.out_channels == 5


@pytest.mark.parametrize(
    ('student', 'teacher', 'pairs'),
    [
        (pyramid(4, 8, 16), pyramid(4, 8, 16), [(0, 0), (1, 1), (2, 2)]),
        # A level of the teacher's, then of the student's, is left out.
        (pyramid(8, 16), pyramid(4, 8, 16), [(0, 1), (1, 2)]),
        (pyramid(4, 8, 16), pyramid(8, 16, 32), [(1, 0), (2, 1)]),
        (pyramid(4, 8, 16, 32, 64), pyramid(8), [(1, 0)]),
        # The same strides in another order.
        (pyramid(8, 4), pyramid(4, 8), [(0, 1), (1, 0)]),
        # Other strides, equally many: in order, and resized.
        (
            pyramid(4, 8, 16, 32),
            pyramid(4, 8, 8, 8),
            [(i, i) for i in range(4)],
        ),
        (pyramid(16), pyramid(14), [(0, 0)]),
        # A stride that comes twice, alike on both sides.
        (pyramid(8, 8), pyramid(8, 8), [(0, 0), (1, 1)]),
        ([vector()], [vector()], [(0, 0)]),
        ([level(), vector()], [level(), vector()], [(0, 0), (1, 1)]),
    ],
)
def test_levels_that_go_together(student, teacher, pairs):
    assert pair_levels(student, teacher) == pairs


@pytest.mark.parametrize(
    ('student', 'teacher', 'message'),
    [
        (
            pyramid(8),
            pyramid(16, 32),
            r'1 student levels \(8 channels at stride 8\) cannot be aligned '
            r'with 2 teacher levels \(8 channels at stride 16; 8 channels at '
            r'stride 32\)\. Record levels of equal stride',
        ),
        (pyramid(8, 8), pyramid(8, 16, 32), '2 student levels'),
        ([vector()], pyramid(8), r'1 student levels \(1x8\)'),
    ],
)
def test_levels_that_do_not(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        pair_levels(student, teacher)


@pytest.fixture(scope='module')
def backbone(seg_teacher):
    """Widths 8, 16, 32, 64 taught by 32, 64, 128, 256."""
    return distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))


def test_every_level_gets_the_convolution_that_it_needs(backbone):
    shapes = [
        tuple(c.block.conv.weight.shape[:2])
        for c in backbone.distill.terms.kd.connectors
    ]
    assert shapes == [(32, 8), (64, 16), (128, 32), (256, 64)]


def test_every_connector_is_trained(det_teacher):
    model = distiller(
        mask_rcnn(), det_teacher, dict(kd=cwd()), input_size=(128, 128)
    )
    losses = step_losses(model, detection_batch())
    total(model, losses).backward()
    parameters = dict(model.distill.named_parameters())
    assert len(parameters) == 10
    for name, parameter in parameters.items():
        gradient = parameter.grad
        # A bias shifts a whole channel, which CWD does not see.
        assert gradient is not None, name
        assert gradient.abs().max() > 0 or name.endswith('bias'), name
