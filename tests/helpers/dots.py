"""Networks that say where they look: a dot stays at its pixels."""

import torch
import torch.nn.functional as F
from torch import nn

#: Odd and non-square batches among them, in pixels.
SHAPES = [
    *[(96, 128), (128, 96), (96, 96), (112, 112), (224, 168)],
    *[(97, 131), (101, 101), (103, 157), (111, 133), (135, 225)],
    *[(127, 129), (100, 150), (150, 100), (126, 154), (154, 126)],
    *[(140, 99), (99, 140), (118, 214), (192, 160), (201, 97)],
]


class Hat(nn.Module):
    """One strided convolution whose answer to a dot is centred on it.

    Args:
        stride: Pixels per cell, an even number; the kernel is a tent of twice
            this width.
        edge: ``'pad'`` or ``'crop'``: how an image becomes a whole number of
            cells; ``'conv'``: one cell more for a part of one, as most
            networks do.
    """

    def __init__(self, stride, edge='conv'):
        super().__init__()
        self.stride, self.edge = stride, edge
        offsets = torch.arange(2 * stride) + 0.5 - stride
        tent = 1 - offsets.abs() / stride
        self.weight = nn.Parameter(torch.outer(tent, tent)[None, None])

    def forward(self, images):
        x, stride = images.mean(1, keepdim=True), self.stride
        height, width = (side % stride for side in x.shape[-2:])
        if self.edge == 'crop':
            x = x[..., : x.shape[-2] - height, : x.shape[-1] - width]
        else:
            x = F.pad(x, (0, -width % stride, 0, -height % stride))
        return (F.conv2d(x, self.weight, stride=stride, padding=stride // 2),)


class Stock(nn.Module):
    """The least that the dry run takes for a model."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def extract_feat(self, inputs):
        return self.backbone(inputs)


def dot(shape, centre, radius):
    """An image (1, 3, H, W) with a soft dot, in pixels."""
    rows, columns = (torch.arange(side, dtype=torch.float) for side in shape)
    y, x = centre
    weight = torch.outer(
        (-((rows - y) ** 2) / (2 * radius**2)).exp(),
        (-((columns - x) ** 2) / (2 * radius**2)).exp(),
    )
    return weight.expand(1, 3, -1, -1)


def path_of_dot(shape):
    """Centres of a dot that moves across, as far from edges as networks see.

    Nearer, part of it would lie where a cropped map has no cell, and the
    centre of mass would be that of the rest.
    """
    for part in (0, 0.5, 1):
        near = [min(48, 0.42 * side) for side in shape]
        far = [max(side - 58, n) for side, n in zip(shape, near, strict=True)]
        yield [n + part * (f - n) for n, f in zip(near, far, strict=True)]


def centre_of_mass(feature, cell):
    """Its row and column in a map (1, 1, h, w), in pixels."""
    weight = feature[0, 0].double()
    weight = weight / weight.sum()
    y = (weight.sum(1) * (torch.arange(weight.shape[0]) + 0.5)).sum()
    x = (weight.sum(0) * (torch.arange(weight.shape[1]) + 0.5)).sum()
    return torch.stack([y * cell[0], x * cell[1]]) - 0.5
