"""PCD's head of the student."""

import pytest
import torch
from torch import nn

from mmdistill_dense.models.pcd import PixelHead


def described(mlp):
    """Each layer in a word; a convolution with its widths, '+' for a bias."""
    return [
        f'{m.in_channels}-{m.out_channels}{"+" * (m.bias is not None)}'
        if isinstance(m, nn.Conv2d)
        else type(m).__name__
        for m in mlp
    ]


def test_the_default_is_that_of_moco_v3():
    head = PixelHead(512)
    between = ['BatchNorm2d', 'ReLU']
    assert described(head.projector) == ['512-4096', *between, '4096-256']
    assert described(head.predictor) == ['256-4096', *between, '4096-256']
    assert head.out_channels == 256
    # 5.26 million.
    assert sum(p.numel() for p in head.parameters()) == 5_259_264


@pytest.mark.parametrize(
    ('bias', 'expected'),
    [
        (True, ['8-6+', '6-4+', '4-6+', '6-5+']),
        (False, ['8-6', '6-4', '4-6', '6-5']),
        ((True, False), ['8-6+', '6-4', '4-6+', '6-5']),
    ],
)
def test_each_convolution_may_have_a_bias(bias, expected):
    head = PixelHead(8, projector=(6, 4), predictor=(6, 5), bias=bias)
    layers = described([*head.projector, *head.predictor])
    assert [layer for layer in layers if '-' in layer] == expected


def test_a_projector_of_three_layers():
    head = PixelHead(8, projector=[6, 6, 4], predictor=(3,))
    assert len(head.projector) == 7
    assert described(head.predictor) == ['4-3']
    assert head(torch.randn(2, 8, 3, 4)).shape == (2, 3, 3, 4)


def test_every_cell_is_treated_alone():
    torch.manual_seed(0)
    head = PixelHead(8, (6, 4), (6, 5)).eval()
    x = torch.randn(2, 8, 3, 4)
    alone = head(x[1:, :, 2:, 1:2])
    torch.testing.assert_close(head(x)[1:, :, 2:, 1:2], alone)


@pytest.mark.parametrize('widths', [4096, (), (4, 0), (4, 2.5), '44', None])
@pytest.mark.parametrize('name', ['projector', 'predictor'])
def test_what_is_no_widths_is_refused(name, widths):
    with pytest.raises(
        ValueError,
        match=f'{name} must be (the output channels|an integer >= 1)',
    ):
        PixelHead(8, **{name: widths})


@pytest.mark.parametrize('bias', [(True,), (True, False, True)])
def test_as_many_answers_for_bias_as_convolutions(bias):
    with pytest.raises(
        ValueError, match=r'each convolution of an MLP, got \('
    ):
        PixelHead(8, bias=bias)
