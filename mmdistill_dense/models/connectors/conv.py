"""Channel alignment."""

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmdistill_dense.registry import MODELS


@MODELS.register_module()
class ConvConnector(nn.Module):
    """Bring a student map to the teacher's channels with one convolution.

    A connector is trained with the student and dropped when the student is
    exported.

    Args:
        in_channels: Channels of the student's map; the dry run fills it in.
        out_channels: Channels of the teacher's map; likewise.
        kernel_size: Odd kernel size; the grid is kept.
        bias: Whether the convolution has a bias; 'auto': where no
            normalisation follows.
        norm_cfg: Normalisation after it, as in ``mmcv.cnn.ConvModule``.
        act_cfg: Activation after that, likewise.
        init: How the convolution starts: ``'kaiming'``, as mmcv's
            ``ConvModule``, or ``'torch'``, as ``torch.nn.Conv2d``.

    Raises:
        ValueError: If ``kernel_size`` is even, or ``init`` not known.
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
                'ConvConnector: kernel_size must be odd, so that the grid is '
                f'kept, got {kernel_size}.'
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
