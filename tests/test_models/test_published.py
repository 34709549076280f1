"""Encoders from files in the key layout of their publication."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from mmdistill_dense.models.encoders import Encoder
from mmdistill_dense.models.encoders.layouts import LAYOUTS
from mmdistill_dense.models.encoders.network import build_network
from mmdistill_dense.models.encoders.published import PUBLISHED
from mmdistill_dense.models.utils import read_checkpoint

from ..helpers.configs import CONFIGS, read
from . import official, published

SIZES = dict(
    hidden_size=published.DIM,
    num_hidden_layers=published.DEPTH,
    num_attention_heads=4,
)
DINOV2 = dict(image_size=56, patch_size=14, **SIZES)
DINOV3 = dict(
    image_size=64, intermediate_size=128, num_register_tokens=4, **SIZES
)
CONVNEXT = dict(
    hidden_sizes=list(published.WIDTHS), depths=list(published.DEPTHS)
)
MMSEG_VIT = dict(
    type='mmseg.VisionTransformer',
    img_size=64,
    patch_size=16,
    patch_bias=True,
    final_norm=True,
    embed_dims=published.DIM,
    num_layers=published.DEPTH,
    num_heads=4,
    out_indices=-1,
    norm_cfg=dict(type='LN', eps=1e-6),
)


def transformers(kind, **config):
    pytest.importorskip(
        'transformers',
        reason='compares with another implementation, which is not '
        'installed: pip install transformers',
    )
    return dict(
        call=f'transformers.{kind}Model',
        config=dict(call=f'transformers.{kind}Config', **config),
    )


class Published(nn.Module):
    """A stand-in for published code: a file's tensors, by its keys."""

    def __init__(self, name, *args):
        super().__init__()
        for key, value in getattr(published, name)(*args).items():
            *path, leaf = key.split('.')
            module = self
            for part in path:
                if part not in module._modules:
                    module.add_module(part, nn.Module())
                module = module._modules[part]
            module.register_buffer(leaf, torch.full_like(value, 9))


def code_of(*args):
    return dict(call=f'{__name__}.Published', args=list(args))


@pytest.fixture
def load(tmp_path):
    """``load(state, layout, model, ...)``: an encoder with these weights."""

    def run(state, layout, model, **settings):
        path = str(tmp_path / 'published.pth')
        torch.save(state, path)
        settings = dict(checkpoint=path, layout=layout) | settings
        encoder = Encoder(model, **settings).eval()
        encoder.load('the encoder')
        return encoder

    return run


@pytest.mark.parametrize(
    ('layout', 'args'),
    [
        ('dinov2', ()),
        ('dinov2', (4,)),
        ('dinov2_transformers', ()),
        ('dinov3_vit', ()),
        ('dinov3_convnext', ()),
        ('timm_vit', ()),
        ('efficientnet_lite', ()),
    ],
)
def test_a_file_fits_the_code_that_it_was_published_with(load, layout, args):
    state = getattr(published, layout)(*args)
    own = load(state, layout, code_of(layout, *args)).model.state_dict()
    for key, value in state.items():
        if key.endswith('mask_token'):  # never needed
            value = torch.full_like(value, 9)
        assert torch.equal(own[key], value), key


@torch.no_grad()
@pytest.mark.parametrize('registers', [0, 4])
def test_dinov2_in_transformers(load, registers):
    state = published.dinov2(registers)
    model = transformers('Dinov2', **DINOV2)
    if registers:
        model = transformers(
            'Dinov2WithRegisters', num_register_tokens=registers, **DINOV2
        )
    encoder = load(
        state, 'dinov2', model, output='last_hidden_state', multiple=14
    )
    images = torch.rand(2, 3, 56, 56)
    expected = published.run_vit(state, images, 4, 14)[:, 1 + registers :]
    (grid,) = encoder(images)
    torch.testing.assert_close(
        grid.flatten(2).transpose(1, 2), expected, rtol=1e-4, atol=1e-4
    )
    # Any size: positions are interpolated, the last tokens are the grid.
    assert encoder(torch.rand(1, 3, 97, 131))[0].shape[-2:] == (7, 9)


@torch.no_grad()
def test_dinov3_in_transformers(load):
    """Its positions are rotations: weights are compared, not maps."""
    state = published.dinov3_vit()
    model = transformers('DINOv3ViT', **DINOV3)
    encoder = load(
        state, 'dinov3_vit', model, output='last_hidden_state', multiple=16
    )
    (grid,) = encoder(torch.rand(1, 3, 64, 80))
    assert grid.shape == (1, published.DIM, 4, 5)
    assert grid.isfinite().all()
    own = encoder.model.state_dict()
    for k in range(published.DEPTH):
        (query,) = (x for x in own if f'.{k}.' in x and 'q_proj.weight' in x)
        name = query.removesuffix('q_proj.weight')
        block, own_block = f'blocks.{k}', name.removesuffix('attention.')
        parts = [own[f'{name}{part}_proj.weight'] for part in 'qkv']
        whole = state[f'{block}.attn.qkv.weight']
        assert torch.equal(torch.cat(parts), whole)
        query, _, value = state[f'{block}.attn.qkv.bias'].chunk(3)
        assert torch.equal(own[f'{name}q_proj.bias'], query)
        assert torch.equal(own[f'{name}v_proj.bias'], value)
        # It is masked in the published code.
        assert f'{name}k_proj.bias' not in own
        for layer, name in dict(fc1='up_proj', fc2='down_proj').items():
            weight = state[f'{block}.mlp.{layer}.weight']
            assert torch.equal(own[f'{own_block}mlp.{name}.weight'], weight)


@torch.no_grad()
def test_dinov3_convnext_in_transformers(load):
    state = published.dinov3_convnext()
    model = transformers('DINOv3ConvNext', **CONVNEXT)
    settings = dict(output='last_hidden_state', multiple=32)
    encoder = load(state, 'dinov3_convnext', model, **settings)
    images = torch.rand(1, 3, 64, 96)
    (grid,) = encoder(images)
    assert grid.shape == (1, 32, 2, 3)
    expected = published.run_convnext(state, images)
    torch.testing.assert_close(grid, expected, rtol=1e-4, atol=1e-4)


#: Presets -> channels, patch, and tokens before the grid.
PRESETS = {
    'dinov2-vits14': (384, 14, 1),
    'dinov2-vitb14-reg4': (768, 14, 5),
    'dinov3-vits16': (384, 16, 5),
    'dinov3-convnext-tiny': (768, 32, 1),
}


@torch.no_grad()
@pytest.mark.parametrize('name', PRESETS)
def test_presets_have_the_published_sizes(name):
    transformers('Dinov2')  # skips
    settings = read(CONFIGS / '_base_' / 'teachers' / f'{name}.py').teacher
    settings = {k: v for k, v in settings.items() if k != 'type'}
    encoder = Encoder(**settings).eval()
    channels, patch, extra = PRESETS[name]
    images = torch.rand(1, 3, 4 * patch, 5 * patch)
    (grid,) = encoder(images)
    assert grid.shape == (1, channels, 4, 5)
    tokens = encoder.model(images).last_hidden_state
    assert tokens.shape == (1, 20 + extra, channels)
    if name.startswith('dinov2'):
        positions = encoder.model.embeddings.position_embeddings
        assert positions.shape == (1, 1 + 37 * 37, channels)


@torch.no_grad()
def test_a_folder_of_transformers_has_all_that_is_needed(tmp_path):
    cfg = transformers('Dinov2', **DINOV2)
    saved = build_network(cfg).eval()
    saved.save_pretrained(tmp_path)
    file = read_checkpoint(str(tmp_path / 'model.safetensors'), 'it', '')
    state = published.dinov2_transformers()
    assert {k: v.shape for k, v in file['state_dict'].items()} == {
        k: v.shape for k, v in state.items()
    }
    config = dict(
        call='transformers.AutoConfig.from_pretrained', args=[str(tmp_path)]
    )
    encoder = Encoder(
        dict(call='transformers.AutoModel.from_config', config=config),
        output='last_hidden_state',
        multiple=14,
        checkpoint=str(tmp_path / 'model.safetensors'),
        layout='dinov2_transformers',
    ).eval()
    encoder.load('it')
    images = torch.rand(1, 3, 42, 56)
    (grid,) = encoder(images)
    expected = saved(images).last_hidden_state[:, 1:]
    assert torch.equal(grid.flatten(2).transpose(1, 2), expected)


@torch.no_grad()
def test_a_transformer_of_timm_in_mmseg(load):
    state = published.timm_vit()
    encoder = load(state, 'timm_vit', MMSEG_VIT)
    images = torch.rand(2, 3, 64, 64)
    expected = published.run_vit(state, images, 4, 16)[:, 1:]
    (grid,) = encoder(images)
    torch.testing.assert_close(
        grid.flatten(2).transpose(1, 2), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize('name', official.FILES)
def test_layouts_of_pcd_fit_a_backbone_without_its_head(load, name):
    """With the same keys as PCD reads; the head in the file is left out."""
    make, prefix, _ = official.FILES[name]
    vit = 'vit' in name
    widths = (48, 40, 24)[: len(LAYOUTS[name].widths)]
    if vit:
        content = official.mocov3_vit(32, 2, 16, widths)
        model = dict(MMSEG_VIT)
    else:
        content = make(8, widths)
        model = dict(type='mmdet.ResNet', depth=50, base_channels=8)
    encoder = load(content, name, model)
    state = next(
        (v for v in content.values() if isinstance(v, dict) and len(v) > 9),
        content,
    )
    key = 'blocks.0.mlp.fc1.weight' if vit else 'layer1.0.conv1.weight'
    own = 'layers.0.ffn.layers.0.0.weight' if vit else key
    (value,) = (v for k, v in state.items() if k.endswith(f'{prefix}{key}'))
    assert torch.equal(encoder.model.state_dict()[own], value)


def test_layouts_are_shared_with_pcd():
    assert PUBLISHED.items() >= LAYOUTS.items()


def test_a_file_of_another_layout_is_recognised(load):
    others = 'dinov3_vit', 'dinov3_convnext', 'timm_vit', 'efficientnet_lite'
    for name in others:
        state = getattr(published, name)()
        with pytest.raises(ValueError, match=f"looks like layout '{name}'"):
            load(state, 'dinov2', code_of('dinov2'))


def test_what_is_missing_unexpected_or_of_another_shape_is_named(load):
    state = published.dinov2()
    del state['blocks.1.ls1.gamma']
    state['blocks.7.ls1.gamma'] = torch.ones(32)
    state['cls_token'] = torch.ones(1, 2, 32)
    with pytest.raises(
        ValueError,
        match=r'(?s)the encoder does not fit Published .*1 missing: blocks.1.'
        r'ls1.*1 unexpected: blocks.7.*cls_token \(1, 2, 32\), expected '
        r'\(1, 1, 32\).*Change model or layout',
    ):
        load(deepcopy(state), 'dinov2', code_of('dinov2'))
    allow = ['blocks.*', 'cls_token']
    load(state, 'dinov2', code_of('dinov2'), allow=allow)


def test_an_unknown_layout_is_refused(load):
    with pytest.raises(ValueError, match=r"'dino' is not known. Choose one"):
        load(published.dinov2(), 'dino', code_of('dinov2'))


def test_a_classifier_that_was_dropped_is_not_read(load):
    state = published.timm_vit()
    encoder = load(state, None, code_of('timm_vit'), drop='head')
    assert isinstance(encoder.model.head, nn.Identity)
    with pytest.raises(ValueError, match=r'1 unexpected: neck\.weight'):
        load(
            state | {'neck.weight': torch.ones(1)},
            None,
            code_of('timm_vit'),
            drop='head',
        )
