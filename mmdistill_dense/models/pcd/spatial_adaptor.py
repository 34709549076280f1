"""Applies a head for pooled vectors to maps (PCD)."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn.utils import skip_init


class SpatialReLU(nn.Module):
    """Keep or zero a whole channel of an image, by the sign of its sum.

    A channel with a sum above 0 is returned unchanged, negative cells
    included; any other becomes 0. So the mean of the output is the ReLU of
    the mean. The choice has no gradient.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return x.masked_fill(x.detach().sum((2, 3), keepdim=True) <= 0, 0)


class SpatialAdaptor(nn.Module):
    """Apply a head for pooled vectors to every cell of a map.

    The mean of the output over the cells is the head's output for the mean
    of the input: ``adaptor(x).mean((2, 3)) == head(x.mean((2, 3)))``. Linear
    layers become 1x1 convolutions, ``BatchNorm1d`` becomes ``BatchNorm2d``,
    and ``ReLU`` becomes :class:`SpatialReLU`; nothing is trained for it.

    The head is copied, under the same names, and frozen; the original is
    neither shared nor changed. The copy stays in eval mode even if
    ``train()`` is called, as the identity does not hold with the statistics
    of a batch, nor with dropout.

    Source: Huang and Guo, "Pixel-Wise Contrastive Distillation", ICCV 2023
    (arXiv 2211.00218).

    Args:
        head: ``Sequential`` (nested, or empty: the identity) of ``Linear``,
            ``BatchNorm1d``, ``ReLU``, ``Dropout`` and ``Identity``, or one
            of these.
        relu: ``'spatial'``, or ``'plain'`` to keep the ordinary ReLU on
            each cell, which breaks the identity; for comparisons.

    Raises:
        ValueError: If a layer has any other class, or ``relu`` is unknown.

    Example:
        >>> import torch
        >>> head = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> x = torch.randn(3, 4, 7, 7)
        >>> vectors = head(x.mean((2, 3)))
        >>> maps = SpatialAdaptor(head)(x)
        >>> torch.allclose(maps.mean((2, 3)), vectors, atol=1e-6)
        True
    """

    def __init__(self, head: nn.Module, relu: str = 'spatial') -> None:
        super().__init__()
        if relu not in ('spatial', 'plain'):
            raise ValueError(
                "SpatialAdaptor: relu must be 'spatial' or 'plain', got "
                f'{relu!r}.'
            )
        self.head = _adapt(head, 'head', relu == 'spatial')
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> 'SpatialAdaptor':
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        return self.head(x)

    def describe(self) -> list[str]:
        """The layers, in a wording independent of torch's version.

        ``Identity`` is left out, so heads of the same description and the
        same weights give the same maps.
        """
        return [
            _describe_layer(layer)
            for layer in self.head.modules()
            if not isinstance(layer, (nn.Sequential, nn.Identity))
        ]


def _describe_layer(layer: nn.Module) -> str:
    settings = ''
    if isinstance(layer, nn.Conv2d):
        sizes = f'{layer.in_channels}, {layer.out_channels}'
        settings = f'{sizes}, bias={layer.bias is not None}'
    elif isinstance(layer, nn.BatchNorm2d):
        sizes = f'{layer.num_features}, eps={layer.eps}'
        settings = f'{sizes}, affine={layer.affine}'
    return f'{type(layer).__name__}({settings})'


def _adapt(layer: nn.Module, path: str, spatial: bool) -> nn.Module:
    """Counterpart of a layer for maps; ``path`` names it in messages."""
    # Only these exact classes: a subclass may compute something else.
    kind = type(layer)
    if kind is nn.Sequential:
        layers = (
            (name, _adapt(child, f'{path}.{name}', spatial))
            for name, child in layer.named_children()
        )
        return nn.Sequential(OrderedDict(layers))
    if kind is nn.Linear:
        return _convolution(layer)
    if kind is nn.BatchNorm1d and layer.track_running_stats:
        return _normalisation(layer)
    if kind is nn.ReLU:
        return SpatialReLU() if spatial else nn.ReLU()
    if kind in (nn.Dropout, nn.Identity):
        return nn.Identity()
    raise ValueError(_unsupported_layer(layer, path))


def _convolution(layer: nn.Linear) -> nn.Conv2d:
    weight = layer.weight
    # skip_init leaves the random generator untouched.
    conv = skip_init(
        nn.Conv2d,
        layer.in_features,
        layer.out_features,
        kernel_size=1,
        bias=layer.bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    state = layer.state_dict()
    conv.load_state_dict({**state, 'weight': weight[..., None, None]})
    return conv


def _normalisation(layer: nn.BatchNorm1d) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(
        layer.num_features,
        layer.eps,
        layer.momentum,
        layer.affine,
        device=layer.running_mean.device,
        dtype=layer.running_mean.dtype,
    )
    norm.load_state_dict(layer.state_dict())
    return norm


def _unsupported_layer(layer: object, path: str) -> str:
    name = type(layer).__name__
    if type(layer) is nn.BatchNorm1d:
        name += ' without running statistics'
    return (
        f'SpatialAdaptor: {path} is a {name}, which is not known to commute '
        'with the mean over cells: the pooled map would not be the vector '
        'that the head gives. A head may be a Sequential of Linear, '
        'BatchNorm1d, ReLU, Dropout and Identity, exactly these classes. '
        'Choose a teacher with such a head, or leave the head out.'
    )
