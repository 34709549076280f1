"""PCD's attention against torch's own, and its cost against a counter."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmdistill_dense.models.pcd import PixelAttention


@pytest.fixture
def block():
    torch.manual_seed(0)
    return PixelAttention(12, num_heads=3)


def test_it_is_multi_head_attention_with_a_shortcut(block):
    reference = nn.MultiheadAttention(12, 3, bias=False, batch_first=True)
    reference.load_state_dict(
        {
            'in_proj_weight': block.qkv.weight[..., 0, 0],
            'out_proj.weight': block.out.weight[..., 0, 0],
        }
    )
    x = torch.randn(2, 12, 4, 5)
    cells = x.flatten(2).mT  # N,C,H,W -> N,HW,C
    seen, _ = reference(cells, cells, cells)
    expected = x + seen.mT.view_as(x)
    torch.testing.assert_close(block(x), expected)


def test_every_cell_sees_every_cell(block):
    x = torch.randn(2, 12, 4, 5, requires_grad=True)
    block(x)[0, :, 0, 0].sum().backward()
    reached = x.grad.abs().sum(1) > 0
    assert reached[0].all()
    assert not reached[1].any()


def test_any_memory_format(block):
    x = torch.randn(2, 12, 4, 5)
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(block(last), block(x))


@pytest.mark.parametrize(
    ('channels', 'parameters', 'macs'),
    # ResNet-18 and MobileNetV3-Large at 224 pixels.
    [(512, 1_048_576, 53_838_848), (960, 3_686_400, 185_243_520)],
)
def test_its_cost_is_what_is_counted(channels, parameters, macs):
    block = PixelAttention(channels)
    assert block.cost((7, 7)) == (parameters, macs)
    assert sum(p.numel() for p in block.parameters()) == parameters
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), counter:
        block(torch.zeros(1, channels, 7, 7))
    assert counter.get_total_flops() == 2 * macs


@pytest.mark.parametrize('heads', [5, 24])
def test_heads_must_divide_the_channels(heads):
    with pytest.raises(ValueError, match=f'got {heads} heads for 12 channels'):
        PixelAttention(12, num_heads=heads)


@pytest.mark.parametrize('heads', [0, -3, 2.0])
def test_heads_must_be_counted(heads):
    with pytest.raises(ValueError, match='num_heads must be an integer >= 1'):
        PixelAttention(12, num_heads=heads)
