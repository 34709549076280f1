"""Self-attention over the cells of a map."""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.registry import MODELS


@MODELS.register_module()
class PixelAttention(nn.Module):
    """One block of multi-head self-attention over all cells of a map.

    ``x + out(attention(x))``: queries, keys, values and the output are 1x1
    convolutions without bias (a bias of the keys would have no effect),
    initialised as ``torch.nn.Conv2d``. There is no position encoding,
    normalisation, dropout or MLP.

    PCD has such a block between the student and its head, to enlarge the
    receptive field, and drops it with the head. Its details are not
    published; this form is a choice of this package.

    Args:
        channels: Channels of the input and the output.
        num_heads: Number of heads, a divisor of ``channels``.

    Raises:
        ValueError: If ``num_heads`` does not divide ``channels``.
    """

    def __init__(self, channels: int, num_heads: int = 8) -> None:
        super().__init__()
        check_int('PixelAttention: num_heads', num_heads, 1)
        if channels % num_heads:
            raise ValueError(
                'PixelAttention: num_heads must divide the channels of the '
                f"student's map, got {num_heads} heads for {channels} "
                'channels.'
            )
        self.channels = channels
        self.num_heads = num_heads
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        n, c, h, w = x.shape
        # N,3C,H,W -> N,3,heads,d,HW -> three of N,heads,HW,d
        split = self.qkv(x).view(n, 3, self.num_heads, -1, h * w)
        attended = scaled_dot_product_attention(*split.mT.unbind(1))
        return x + self.out(attended.mT.reshape(n, c, h, w))

    def cost(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Cost of the block on the map of one image.

        Args:
            grid: Height and width of the map, in cells.

        Returns:
            Parameters, and multiply-adds of one forward pass.
        """
        cells = grid[0] * grid[1]
        parameters = 4 * self.channels**2
        return parameters, cells * (parameters + 2 * cells * self.channels)

    def extra_repr(self) -> str:
        return f'channels={self.channels}, num_heads={self.num_heads}'
