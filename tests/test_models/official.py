"""Files as self-supervised projects publish them, with random values.

Keys and shapes are written out here by themselves, not taken from the table
that the tests compare them with. What a teacher does not read of a file (the
online encoder, the predictor) is there by its keys, in small.
"""

import torch
from torch.nn import functional as F

BLOCKS = (3, 4, 6, 3)


def linear(name, channels, width, bias=False):
    found = {f'{name}.weight': torch.randn(width, channels) / channels**0.5}
    if bias:
        found[f'{name}.bias'] = torch.randn(width)
    return found


def norm(name, width, affine=True):
    found = {}
    if affine:
        found[f'{name}.weight'] = torch.rand(width) + 0.5
        found[f'{name}.bias'] = torch.randn(width) / 2
    return found | {
        f'{name}.running_mean': torch.randn(width) / 2,
        f'{name}.running_var': torch.rand(width) + 0.5,
        f'{name}.num_batches_tracked': torch.zeros((), dtype=torch.long),
    }


def conv(name, channels, width, size):
    scale = (2 / (channels * size * size)) ** 0.5
    weight = torch.randn(width, channels, size, size) * scale
    return {f'{name}.weight': weight}


def resnet50(width=64):
    """torchvision's ResNet-50 without its classifier."""
    state = conv('conv1', 3, width, 7) | norm('bn1', width)
    channels = width
    for stage, blocks in enumerate(BLOCKS):
        inner = width * 2**stage
        for block in range(blocks):
            name = f'layer{stage + 1}.{block}'
            state |= conv(f'{name}.conv1', channels, inner, 1)
            state |= conv(f'{name}.conv2', inner, inner, 3)
            state |= conv(f'{name}.conv3', inner, 4 * inner, 1)
            for k, size in enumerate((inner, inner, 4 * inner)):
                state |= norm(f'{name}.bn{k + 1}', size)
            if not block:
                state |= conv(f'{name}.downsample.0', channels, 4 * inner, 1)
                state |= norm(f'{name}.downsample.1', 4 * inner)
            channels = 4 * inner
    return state


def mlp(channels, widths, bias=(), last_bn=False, names=None):
    """Linear, batch norm, ReLU, ... linear; by default keys 0, 1, 3, 4, 6."""
    names = names or (lambda k: (str(3 * k), str(3 * k + 1)))
    state = {}
    for k, width in enumerate(widths):
        first, second = names(k)
        state |= linear(first, channels, width, bool(bias) and bias[k])
        if k < len(widths) - 1:
            state |= norm(second, width)
        elif last_bn:
            state |= norm(second, width, affine=False)
        channels = width
    return state


def neck(k):
    """Names in mmpretrain's NonLinearNeck."""
    return f'fc{k}', f'bn{k}'


def below(prefix, *states):
    return {f'{prefix}{k}': v for state in states for k, v in state.items()}


def mocov3_resnet(width=64, widths=(4096, 256)):
    head = mlp(32 * width, widths, last_bn=True)
    state = below('module.base_encoder.', resnet50(8))
    state |= below('module.momentum_encoder.', resnet50(width))
    state |= below('module.momentum_encoder.fc.', head)
    state |= below('module.predictor.', mlp(8, (16, 8), last_bn=True))
    return dict(
        epoch=1000,
        arch='resnet50',
        state_dict=state,
        optimizer=dict(state={}, param_groups=[]),
        scaler={},
    )


def mocov3_vit(channels=768, depth=12, cells=196, widths=(4096, 4096, 256)):
    head = mlp(channels, widths, last_bn=True)
    state = below('module.base_encoder.', vit(8, 1, cells))
    state |= below('module.momentum_encoder.', vit(channels, depth, cells))
    state |= below('module.momentum_encoder.head.', head)
    return dict(epoch=300, arch='vit_base', state_dict=state)


def byol(width=64, widths=(4096, 256)):
    bias = (True, False)
    state = below('module.online_encoder.', resnet50(8))
    state |= below('module.target_encoder.', resnet50(width))
    head = mlp(32 * width, widths, bias)
    state |= below('module.target_encoder.fc.', head)
    state |= below('module.predictor.', mlp(8, (16, 8), bias))
    return dict(epoch=300, model=state, optimizer={})


def barlow_twins(width=64, widths=(8192, 8192, 8192)):
    state = below('module.backbone.', resnet50(width))
    state |= below('module.projector.', mlp(32 * width, widths))
    state |= norm('module.bn', widths[-1], affine=False)
    return dict(epoch=1000, model=state)


def swav(width=64, widths=(2048, 128)):
    state = below('module.', resnet50(width))
    head = mlp(32 * width, widths, (True, True))
    state |= below('module.projection_head.', head)
    return state | linear('module.prototypes', widths[-1], 3000)


def mmpretrain_mocov3(width=64, widths=(4096, 256)):
    small = mlp(8, (16, 8), last_bn=True, names=neck)
    state = below('backbone.', resnet50(8)) | below('neck.', small)
    state |= below('head.predictor.', small)
    state |= below('momentum_encoder.module.0.', resnet50(width))
    head = mlp(32 * width, widths, last_bn=True, names=neck)
    state |= below('momentum_encoder.module.1.', head)
    state['momentum_encoder.steps'] = torch.tensor(10)
    return dict(meta=dict(epoch=800), state_dict=state, message_hub={})


#: The tensors of each file, and the prefixes of its teacher.
FILES = dict(
    mocov3_resnet=(
        mocov3_resnet,
        'module.momentum_encoder.',
        'module.momentum_encoder.fc.',
    ),
    byol=(byol, 'module.target_encoder.', 'module.target_encoder.fc.'),
    barlow_twins=(barlow_twins, 'module.backbone.', 'module.projector.'),
    swav=(swav, 'module.', 'module.projection_head.'),
    mmpretrain_mocov3=(
        mmpretrain_mocov3,
        'momentum_encoder.module.0.',
        'momentum_encoder.module.1.',
    ),
)


def tensors(content):
    """The state dict in a file."""
    return content.get('state_dict', content.get('model', content))


def within(state, prefix):
    return {
        k.removeprefix(prefix): v
        for k, v in state.items()
        if k.startswith(prefix)
    }


def embed(x, head, last_bn=False, names=None):
    """Vectors (N, C) through a head, by its own keys."""
    names = names or (lambda k: (str(3 * k), str(3 * k + 1)))
    depth = sum(value.ndim == 2 for value in head.values())
    for k in range(depth):
        first, second = names(k)
        x = F.linear(x, head[f'{first}.weight'], head.get(f'{first}.bias'))
        if k < depth - 1 or last_bn:
            x = F.batch_norm(
                x,
                head[f'{second}.running_mean'],
                head[f'{second}.running_var'],
                head.get(f'{second}.weight'),
                head.get(f'{second}.bias'),
            )
        if k < depth - 1:
            x = x.relu()
    return x


def vit(channels=768, depth=12, cells=196):
    """timm's vision transformer without its classifier."""
    state = {
        'cls_token': torch.randn(1, 1, channels),
        'pos_embed': torch.randn(1, cells + 1, channels),
        'patch_embed.proj.bias': torch.randn(channels),
        **conv('patch_embed.proj', 3, channels, 16),
    }

    def layer_norm(name):
        weight, bias = torch.rand(channels) + 0.5, torch.randn(channels)
        return {f'{name}.weight': weight, f'{name}.bias': bias}

    for block in range(depth):
        name = f'blocks.{block}'
        state |= layer_norm(f'{name}.norm1') | layer_norm(f'{name}.norm2')
        for part, (wide, width) in {
            'attn.qkv': (channels, 3 * channels),
            'attn.proj': (channels, channels),
            'mlp.fc1': (channels, 4 * channels),
            'mlp.fc2': (4 * channels, channels),
        }.items():
            state |= linear(f'{name}.{part}', wide, width, bias=True)
    return state | layer_norm('norm')


def vit_tokens(state, images, heads):
    """What timm's transformer makes of images: (N, 1 + cells, C)."""

    def dense(x, name):
        return F.linear(x, state[f'{name}.weight'], state[f'{name}.bias'])

    def layer_norm(x, name):
        weight, bias = state[f'{name}.weight'], state[f'{name}.bias']
        return F.layer_norm(x, weight.shape, weight, bias, eps=1e-6)

    def attend(x, name):
        n, tokens, channels = x.shape
        # (N, L, 3C) -> 3 of (N, heads, L, C / heads)
        qkv = dense(x, f'{name}.qkv')
        qkv = qkv.view(n, tokens, 3, heads, channels // heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) / (channels // heads) ** 0.5
        x = scores.softmax(-1) @ v
        return dense(
            x.transpose(1, 2).reshape(n, tokens, channels), f'{name}.proj'
        )

    x = F.conv2d(
        images,
        state['patch_embed.proj.weight'],
        state['patch_embed.proj.bias'],
        stride=16,
    )
    x = x.flatten(2).transpose(1, 2)
    first = state['cls_token'].expand(len(x), -1, -1)
    x = torch.cat([first, x], dim=1) + state['pos_embed']
    for block in range(sum(key.endswith('qkv.weight') for key in state)):
        name = f'blocks.{block}'
        x = x + attend(layer_norm(x, f'{name}.norm1'), f'{name}.attn')
        hidden = F.gelu(
            dense(layer_norm(x, f'{name}.norm2'), f'{name}.mlp.fc1')
        )
        x = x + dense(hidden, f'{name}.mlp.fc2')
    return layer_norm(x, 'norm')
