"""A connector of two linear layers."""

from torch import Tensor, nn

from mmdistill_dense.registry import MODELS

_ACTIVATIONS = dict(relu=nn.ReLU, gelu=nn.GELU)


@MODELS.register_module()
class MLPConnector(nn.Module):
    """Linear, layer norm, activation, linear, at each position.

    The heads of RADIO (CVPR 2024): that of its first version with ReLU, that
    of its second one, without residual blocks, with GELU. Both linear layers
    have a bias and PyTorch's initialisation.

    Args:
        in_channels: Channels of the student's map; set by the dry run.
        out_channels: Channels of the teacher's map; likewise.
        hidden_channels: Channels between the layers; ``None``: as many as
            the teacher's.
        norm: Whether there is a layer norm (affine, eps 1e-5).
        activation: ``'relu'`` or ``'gelu'``.

    Raises:
        ValueError: If the activation is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int | None = None,
        norm: bool = True,
        activation: str = 'relu',
    ) -> None:
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ValueError(
                'MLPConnector: activation must be one of '
                f'{sorted(_ACTIVATIONS)}, got {activation!r}.'
            )
        hidden = out_channels if hidden_channels is None else hidden_channels
        self.fc1 = nn.Linear(in_channels, hidden)
        self.norm = nn.LayerNorm(hidden) if norm else nn.Identity()
        self.activate = _ACTIVATIONS[activation]()
        self.fc2 = nn.Linear(hidden, out_channels)

    def forward(self, feature: Tensor) -> Tensor:
        """(N, in_channels, ...) -> (N, out_channels, ...)."""
        x = self.norm(self.fc1(feature.movedim(1, -1)))
        return self.fc2(self.activate(x)).movedim(-1, 1)
