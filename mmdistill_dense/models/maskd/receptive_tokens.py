"""Receptive tokens of one level, and the net that weighs them."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from mmdistill_dense.functional import receptive_masks
from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.functional.precision import full_precision


class ReceptiveTokens(nn.Module):
    """Tokens that mask one map of a teacher (MasKD, ICLR 2023).

    Parameters have the names of the official files: ``mask_token`` of shape
    (T, C), and ``prob.0`` and ``prob.2``, the weighting net: a 3x3
    convolution, the mean over positions, a 1x1 convolution to T and a
    softmax, with no activation between.

    Args:
        channels: C, channels of the map.
        num_tokens: T, at least 2.
        weighting: Whether to build a weighting net, as for detectors.
        init_std: Standard deviation of the tokens at the start.

    Raises:
        ValueError: If ``num_tokens`` is not an integer >= 2, as the
            diversity loss compares tokens with each other.
    """

    def __init__(
        self,
        channels: int,
        num_tokens: int = 6,
        weighting: bool = True,
        init_std: float = 0.01,
    ) -> None:
        super().__init__()
        # The diversity loss compares tokens with each other.
        check_int('num_tokens', num_tokens, 2)
        self.mask_token = nn.Parameter(torch.empty(num_tokens, channels))
        nn.init.normal_(self.mask_token, std=init_std)
        self.prob = _weighting_net(channels, num_tokens) if weighting else None

    @property
    def channels(self) -> int:
        return self.mask_token.shape[1]

    @property
    def num_tokens(self) -> int:
        return self.mask_token.shape[0]

    def masks(self, features: Tensor) -> Tensor:
        """Mask of each token: (N, C, H, W) -> (N, T, H, W)."""
        return receptive_masks(features, self.mask_token)

    def weights(self, features: Tensor) -> Tensor | None:
        """Weight of each token: (N, C, H, W) -> (N, T).

        Rows sum to 1; ``None`` without a weighting net.
        """
        if self.prob is None:
            return None
        with full_precision(features) as (f,):
            first, _, last = self.prob
            means = _window_means(f.to(first.weight))
            pooled = conv2d(means, first.weight, first.bias)  # N,C,1,1
            return last(pooled).flatten(1).softmax(1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mask a map.

        The masks are averaged with the weights of the net, or summed if
        there is no weighting net.

        Args:
            features: Map of shape (N, C, H, W).

        Returns:
            The masked map (N, C, H, W), and the masks (N, T, H, W).
        """
        masks, weights = self.masks(features), self.weights(features)
        # Products and sums stay in float32 inside autocast.
        parts = masks if weights is None else weights[..., None, None] * masks
        gate = parts.sum(1, keepdim=True)  # N,T,H,W -> N,1,H,W
        return features * gate.to(features), masks

    def extra_repr(self) -> str:
        return f'{self.num_tokens} tokens on {self.channels} channels'


def _weighting_net(channels: int, num_tokens: int) -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(channels, num_tokens, 1),
    )
    for conv in (net[0], net[2]):
        nn.init.kaiming_normal_(conv.weight, mode='fan_out')
        nn.init.zeros_(conv.bias)
    return net


def _window_means(features: Tensor) -> Tensor:
    """Mean input of each tap of a padded 3x3 kernel.

    The mean of a convolution's output is the convolution of these means.
    Nine numbers per channel replace the whole map, so the first layer of the
    weighting net costs next to nothing.

    Args:
        features: Map of shape (N, C, H, W).

    Returns:
        Means of shape (N, C, 3, 3), over H*W positions, zeros outside.
    """
    height, width = features.shape[2:]
    total = features.sum(2)  # N,C,H,W -> N,C,W
    rows = [total - features[:, :, -1], total, total - features[:, :, 0]]
    lines = torch.stack(rows, 2)  # -> N,C,3,W
    whole = lines.sum(3)  # -> N,C,3
    cells = [whole - lines[..., -1], whole, whole - lines[..., 0]]
    return torch.stack(cells, 3) / (height * width)
