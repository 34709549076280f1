"""Backbones in a form that the hosts do not have."""

import pytest
import torch

from mmdistill_dense.registry import MODELS

pytestmark = pytest.mark.filterwarnings('ignore:In MMCV v1.4.4')
LAST = dict(large=16, small=12)


def build(kind, arch='large', **settings):
    return MODELS.build(
        dict(type=f'{kind}.MobileNetV3', arch=arch, **settings)
    )


@pytest.mark.parametrize(
    ('arch', 'channels'), [('large', 960), ('small', 576)]
)
def test_a_mobilenet_has_the_strides_of_a_classifier(arch, channels):
    model = build('mmdistill_dense', arch)
    model.eval()
    with torch.no_grad():
        (last,) = model(torch.randn(1, 3, 224, 224))
    assert last.shape == (1, channels, 7, 7)
    every = build(
        'mmdistill_dense', arch, out_indices=tuple(range(LAST[arch] + 1))
    )
    strides = {64 // x.shape[-1] for x in every(torch.randn(2, 3, 64, 64))}
    assert strides == {2, 4, 8, 16, 32}


@pytest.mark.parametrize('arch', LAST)
def test_its_weights_are_mmsegs(arch):
    model = build('mmdistill_dense', arch)
    stock = build('mmseg', arch, out_indices=(3, LAST[arch]))
    stock.load_state_dict(model.state_dict(), strict=True)
    stock.eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        early, last = stock(images)
        model.out_indices = (3,)
        model.eval()
        assert torch.equal(model(images)[0], early)
    # mmseg's own is left as it is for segmentation.
    assert last.shape[-1] == 8


def test_it_is_mmsegs_but_for_strides():
    model, stock = build('mmdistill_dense'), build('mmseg')
    assert type(model) is type(stock)
    for conv in model.modules():
        if isinstance(conv, torch.nn.Conv2d):
            adaptive = type(conv).__name__ == 'Conv2dAdaptivePadding'
            half = 0 if adaptive else conv.kernel_size[0] // 2
            assert conv.padding == (half, half)
            assert conv.dilation == (1, 1)


def test_its_settings_are_mmsegs():
    model = build('mmdistill_dense', norm_eval=True, reduction_factor=2)
    model.train()
    assert not model.layer0.bn.training
    assert model.layer15.linear_conv.conv.out_channels == 80


def test_an_arch_that_is_not_known_is_refused():
    with pytest.raises(
        ValueError, match="must be 'large' or 'small', got 'x'"
    ):
        build('mmdistill_dense', 'x')
