"""Stand-ins for networks of other packages, called by their import path."""

from types import SimpleNamespace

import torch
from torch import nn

from .dots import Hat


class VisionTransformer(nn.Module):
    """The names, call and output of timm's; it looks at patches alone.

    ``forward_features`` gives (N, L, C): a class token, registers, and the
    patches of an image of any size, row by row.
    """

    def __init__(self, patch, dim, registers, num_classes):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.reg_token = nn.Parameter(torch.randn(1, registers, dim))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, patch, patch)
        self.blocks = nn.Sequential(nn.Linear(dim, dim), nn.Linear(dim, dim))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes) if num_classes else None

    def forward_features(self, x):
        tokens = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        first = torch.cat([self.cls_token, self.reg_token], 1)
        x = torch.cat([first.expand(len(x), -1, -1), tokens], 1)
        return self.norm(self.blocks(x))

    def forward(self, x):
        return self.head(self.forward_features(x)[:, 0])


def create_model(model_name, pretrained=False, num_classes=1000, **kwargs):
    """The call of ``timm.create_model``."""
    assert not pretrained
    settings = dict(patch=14, dim=12, registers=4) | kwargs
    if model_name == 'vit':
        return VisionTransformer(num_classes=num_classes, **settings)
    raise RuntimeError(f'Unknown model ({model_name})')


class Tokens(nn.Module):
    """A ``Hat`` whose cells come as tokens behind others, in an object."""

    def __init__(self, patch=14, extra=5):
        super().__init__()
        self.hat, self.extra = Hat(patch), extra

    def forward(self, images, hidden=False):
        (grid,) = self.hat(images)
        tokens = grid.flatten(2).transpose(1, 2)
        others = tokens.new_full((len(tokens), self.extra, 1), 99.0)
        tokens = torch.cat([others, tokens], 1)
        return SimpleNamespace(
            tokens=tokens, maps=[grid, 2 * grid] if hidden else None
        )


class TwoLevels(nn.Module):
    """A small convolutional network: strides 4 and 8, and a classifier."""

    def __init__(self, channels=3, width=4):
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, 4, 1)
        self.stage = nn.Conv2d(width, 2 * width, 3, 2, 1)
        self.fc = nn.Linear(2 * width, 10)

    def forward(self, images):
        x = self.stage(self.stem(images).relu()).relu()
        return dict(logits=self.fc(x.mean((2, 3))), maps=(x,))


def no_module():
    return 'a string'
