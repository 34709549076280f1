"""Projector and predictor for every cell of a map."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.registry import MODELS


@MODELS.register_module()
class PixelHead(nn.Module):
    """The student's head in PCD: two MLPs applied to every cell.

    Each MLP is a sequence of 1x1 convolutions, initialised as
    ``torch.nn.Conv2d``, with BatchNorm and ReLU between them but not after
    the last. The second MLP follows the first directly. The head is dropped
    when the student is exported.

    Source: Huang and Guo, "Pixel-Wise Contrastive Distillation", ICCV 2023
    (arXiv 2211.00218). The default widths are those for MoCo v3.

    Args:
        in_channels: Channels of the student's map.
        projector: Output channels of each convolution of the first MLP.
        predictor: Those of the second.
        bias: Whether convolutions have a bias: one value for all, or one
            for each convolution of an MLP, the same in both.

    Raises:
        ValueError: If widths are not integers >= 1, or the number of
            values of ``bias`` is not that of the convolutions in an MLP.
    """

    def __init__(
        self,
        in_channels: int,
        projector: Sequence[int] = (4096, 256),
        predictor: Sequence[int] = (4096, 256),
        bias: bool | Sequence[bool] = False,
    ) -> None:
        super().__init__()
        _check_widths(projector=projector, predictor=predictor)
        self.projector = _mlp(in_channels, projector, bias)
        self.predictor = _mlp(projector[-1], predictor, bias)
        self.out_channels = predictor[-1]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        return self.predictor(self.projector(x))


def _check_widths(**widths: Sequence[int]) -> None:
    for name, value in widths.items():
        if not isinstance(value, Sequence) or not value:
            raise ValueError(
                f'PixelHead: {name} must be the output channels of each '
                f'convolution, as (4096, 256), got {value!r}.'
            )
        for width in value:
            check_int(f'PixelHead: each width of {name}', width, 1)


def _mlp(
    channels: int, widths: Sequence[int], bias: bool | Sequence[bool]
) -> nn.Sequential:
    """1x1 convolutions, with BatchNorm and ReLU between them."""
    biases = [bias] * len(widths) if isinstance(bias, bool) else list(bias)
    if len(biases) != len(widths):
        raise ValueError(
            'PixelHead: bias must be True, False, or one of these for each '
            f'convolution of an MLP, got {bias!r} for widths {widths!r}.'
        )
    layers: list[nn.Module] = []
    sizes = pairwise((channels, *widths))
    for (before, after), has_bias in zip(sizes, biases, strict=True):
        if layers:
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(before, after, 1, bias=has_bias))
    return nn.Sequential(*layers)
