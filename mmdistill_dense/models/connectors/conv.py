"""Connectors that align channels."""

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmdistill_dense.registry import MODELS


@MODELS.register_module()
class Identity(nn.Identity):
    """A connector that changes nothing; ``connector='none'`` is none at all.

    Args:
        in_channels: Channels of the student's map; set by the dry run.
        out_channels: Channels of the teacher's map; likewise.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()


@MODELS.register_module()
class ConvConnector(nn.Module):
    """Map the student's channels to the teacher's with one convolution.

    A connector is trained with the student and not exported.

    Args:
        in_channels: Channels of the student's map; set by the dry run.
        out_channels: Channels of the teacher's map; likewise.
        kernel_size: Odd kernel size; the size of the map is kept.
        bias: Whether the convolution has a bias; 'auto': if no
            normalisation follows.
        norm_cfg: Normalisation after it, as in ``mmcv.cnn.ConvModule``.
        act_cfg: Activation after that, likewise.
        init: Initialisation of the convolution: ``'kaiming'``, as mmcv's
            ``ConvModule``, or ``'torch'``, as ``torch.nn.Conv2d``.

    Raises:
        ValueError: If ``kernel_size`` is even, or ``init`` is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        bias: bool | str = 'auto',
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        init: str = 'kaiming',
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                'ConvConnector: kernel_size must be odd, to keep the size of '
                f'the map, got {kernel_size}.'
            )
        if init not in ('kaiming', 'torch'):
            raise ValueError(
                "ConvConnector: init must be 'kaiming' or 'torch', got "
                f'{init!r}.'
            )
        self.block = ConvModule(
            in_channels,
            out_channels,
            kernel_size,
            padding=kernel_size // 2,
            bias=bias,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            inplace=False,
        )
        if init == 'torch':
            self.block.conv.reset_parameters()

    def forward(self, feature: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        return self.block(feature)


def align_channels(
    in_channels: int, out_channels: int, bias: bool = False
) -> nn.Module:
    """A 1x1 convolution where channels differ, else the identity.

    Args:
        in_channels: Channels of the map.
        out_channels: Channels that are wanted.
        bias: Whether the convolution has a bias.
    """
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Conv2d(in_channels, out_channels, 1, bias=bias)
