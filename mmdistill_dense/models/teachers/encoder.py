"""A backbone's last map, and a head on it."""

from torch import Tensor, nn

from ..hosts import last_map


class Encoder(nn.Module):
    """The last map of a backbone, and what a head makes of it.

    Args:
        backbone: Gives a map (N, C, H, W), or several, of which the last
            counts.
        head: Takes that map.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(last_map(self.backbone(images), self.backbone))
