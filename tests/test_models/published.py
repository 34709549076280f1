"""Files of encoders as they are published, in small, with random values.

Keys and shapes are written out by themselves, not taken from the tables that
tests compare them with: those of github.com/facebookresearch/dinov2 and
dinov3, and of timm's vision transformer.
"""

import torch
import torch.nn.functional as F

from .official import linear, norm

DIM, DEPTH, PATCHES = 32, 2, 16
WIDTHS, DEPTHS = (8, 16, 24, 32), (1, 1, 2, 1)


def layer_norm(name, dim):
    return {f'{name}.weight': torch.rand(dim), f'{name}.bias': torch.rand(dim)}


def projection(patch):
    weight = torch.randn(DIM, 3, patch, patch) / patch
    return {
        'patch_embed.proj.weight': weight,
        'patch_embed.proj.bias': torch.randn(DIM),
    }


def blocks(scale=True):
    state = {}
    for k in range(DEPTH):
        name = f'blocks.{k}'
        state |= layer_norm(f'{name}.norm1', DIM)
        state |= linear(f'{name}.attn.qkv', DIM, 3 * DIM, True)
        state |= linear(f'{name}.attn.proj', DIM, DIM, True)
        state |= layer_norm(f'{name}.norm2', DIM)
        state |= linear(f'{name}.mlp.fc1', DIM, 4 * DIM, True)
        state |= linear(f'{name}.mlp.fc2', 4 * DIM, DIM, True)
        if scale:
            state |= {f'{name}.ls{i}.gamma': torch.rand(DIM) for i in (1, 2)}
    return state


def dinov2(registers=0):
    state = dict(
        cls_token=torch.randn(1, 1, DIM),
        pos_embed=torch.randn(1, 1 + PATCHES, DIM),
        mask_token=torch.zeros(1, DIM),
    )
    if registers:
        state['register_tokens'] = torch.randn(1, registers, DIM)
    return state | projection(14) | blocks() | layer_norm('norm', DIM)


def dinov2_transformers():
    """The same network in a file of github.com/huggingface/transformers."""
    patches = 'embeddings.patch_embeddings.projection'
    weight, bias = projection(14).values()
    state = {
        'embeddings.cls_token': torch.randn(1, 1, DIM),
        'embeddings.mask_token': torch.zeros(1, DIM),
        'embeddings.position_embeddings': torch.randn(1, 1 + PATCHES, DIM),
        f'{patches}.weight': weight,
        f'{patches}.bias': bias,
    }
    for k in range(DEPTH):
        name = f'encoder.layer.{k}'
        for i in (1, 2):
            state |= layer_norm(f'{name}.norm{i}', DIM)
            state[f'{name}.layer_scale{i}.lambda1'] = torch.rand(DIM)
        for part in ('query', 'key', 'value'):
            attention = f'{name}.attention.attention.{part}'
            state |= linear(attention, DIM, DIM, True)
        state |= linear(f'{name}.attention.output.dense', DIM, DIM, True)
        state |= linear(f'{name}.mlp.fc1', DIM, 4 * DIM, True)
        state |= linear(f'{name}.mlp.fc2', 4 * DIM, DIM, True)
    return state | layer_norm('layernorm', DIM)


def dinov3_vit():
    state = dict(
        cls_token=torch.randn(1, 1, DIM),
        storage_tokens=torch.randn(1, 4, DIM),
        mask_token=torch.zeros(1, DIM),
    )
    state['rope_embed.periods'] = torch.rand(DIM // 8).bfloat16()
    state |= projection(16) | blocks() | layer_norm('norm', DIM)
    for k in range(DEPTH):
        mask = torch.ones(3 * DIM)
        mask[DIM : 2 * DIM] = 0
        state[f'blocks.{k}.attn.qkv.bias_mask'] = mask
    return state


def dinov3_convnext():
    state, before = {}, 3
    for k, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        name, size = f'downsample_layers.{k}', 2 if k else 4
        # The stem has its norm behind, the others before.
        conv, norm = ('1', '0') if k else ('0', '1')
        weight = torch.randn(width, before, size, size) / size
        state |= layer_norm(f'{name}.{norm}', before if k else width)
        state[f'{name}.{conv}.weight'] = weight
        state[f'{name}.{conv}.bias'] = torch.randn(width)
        for j in range(depth):
            block = f'stages.{k}.{j}'
            state[f'{block}.gamma'] = torch.rand(width)
            state[f'{block}.dwconv.weight'] = torch.randn(width, 1, 7, 7) / 7
            state[f'{block}.dwconv.bias'] = torch.randn(width)
            state |= layer_norm(f'{block}.norm', width)
            state |= linear(f'{block}.pwconv1', width, 4 * width, True)
            state |= linear(f'{block}.pwconv2', 4 * width, width, True)
        before = width
    state |= layer_norm('norm', before)
    # One module by two names.
    state['norms.3.weight'] = state['norm.weight']
    state['norms.3.bias'] = state['norm.bias']
    return state


def timm_vit():
    state = dict(
        cls_token=torch.randn(1, 1, DIM),
        pos_embed=torch.randn(1, 1 + PATCHES, DIM),
    )
    state |= projection(16) | blocks(scale=False) | layer_norm('norm', DIM)
    return state | linear('head', DIM, 10, True)


def efficientnet_lite(channels=4):
    """Two blocks of it, of which the first does not expand."""
    state = {'_conv_stem.weight': torch.randn(channels, 3, 3, 3)}
    state |= norm('_bn0', channels)
    for k, width in enumerate((channels, 6 * channels)):
        name = f'_blocks.{k}'
        if k:
            expand = torch.randn(width, channels, 1, 1)
            state[f'{name}._expand_conv.weight'] = expand
            state |= norm(f'{name}._bn0', width)
        state[f'{name}._depthwise_conv.weight'] = torch.randn(width, 1, 3, 3)
        state |= norm(f'{name}._bn1', width)
        project = torch.randn(channels, width, 1, 1)
        state[f'{name}._project_conv.weight'] = project
        state |= norm(f'{name}._bn2', channels)
    state['_conv_head.weight'] = torch.randn(12, channels, 1, 1)
    return state | norm('_bn1', 12) | linear('_fc', 12, 10, True)


def pair(state, name):
    return state[f'{name}.weight'], state[f'{name}.bias']


def attend(x, state, name, heads):
    """Attention of a block, on tokens (N, L, C), by the file's keys."""
    n, length, dim = x.shape
    qkv = F.linear(x, *pair(state, f'{name}.qkv'))
    qkv = qkv.reshape(n, length, 3, heads, dim // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-1, -2) / (dim // heads) ** 0.5).softmax(-1)
    x = (weights @ v).transpose(1, 2).reshape(n, length, dim)
    return F.linear(x, *pair(state, f'{name}.proj'))


def run_vit(state, images, heads, patch):
    """Tokens (N, L, C) of a transformer with learned positions."""

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], *pair(state, name), 1e-6)

    x = F.conv2d(images, *pair(state, 'patch_embed.proj'), stride=patch)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([state['cls_token'].expand(len(x), -1, -1), x], 1)
    x = x + state['pos_embed']
    if 'register_tokens' in state:
        more = state['register_tokens'].expand(len(x), -1, -1)
        x = torch.cat([x[:, :1], more, x[:, 1:]], 1)
    one = torch.ones(DIM)
    for k in range(DEPTH):
        name = f'blocks.{k}'
        first, second = (state.get(f'{name}.ls{i}.gamma', one) for i in (1, 2))
        y = attend(norm(x, f'{name}.norm1'), state, f'{name}.attn', heads)
        x = x + first * y
        y = F.linear(norm(x, f'{name}.norm2'), *pair(state, f'{name}.mlp.fc1'))
        y = F.linear(F.gelu(y), *pair(state, f'{name}.mlp.fc2'))
        x = x + second * y
    return norm(x, 'norm')


def run_convnext(state, x):
    """The last map (N, C, h, w), normalised."""

    def norm(x, name):
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, x.shape[-1:], *pair(state, name), 1e-6)
        return x.permute(0, 3, 1, 2)

    def conv(x, name, **settings):
        return F.conv2d(x, *pair(state, name), **settings)

    for k, depth in enumerate(DEPTHS):
        name = f'downsample_layers.{k}'
        if k:
            x = conv(norm(x, f'{name}.0'), f'{name}.1', stride=2)
        else:
            x = norm(conv(x, f'{name}.0', stride=4), f'{name}.1')
        for j in range(depth):
            block = f'stages.{k}.{j}'
            y = conv(x, f'{block}.dwconv', padding=3, groups=x.shape[1])
            y = norm(y, f'{block}.norm').permute(0, 2, 3, 1)
            y = F.gelu(F.linear(y, *pair(state, f'{block}.pwconv1')))
            y = F.linear(y, *pair(state, f'{block}.pwconv2'))
            x = x + (state[f'{block}.gamma'] * y).permute(0, 3, 1, 2)
    return norm(x, 'norm')
