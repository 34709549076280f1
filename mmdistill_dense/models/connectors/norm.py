"""A connector that normalises, without trained weights."""

from torch import Tensor, nn

from mmdistill_dense.functional import standardise
from mmdistill_dense.functional.standardise import NORM_DIMS
from mmdistill_dense.registry import MODELS

from .conv import align_channels


@MODELS.register_module()
class NormConnector(nn.Module):
    """Maps of mean 0 and variance 1; for either side.

    A normalisation without weights and without running statistics: those of
    the batch are used in eval mode too, in each process its own. On the
    student's side a 1x1 convolution without bias comes first where channels
    differ. With ``over='batch'`` on both sides this is the connector of
    RTMDet's distillation.

    Args:
        in_channels: Channels of the map; set by the dry run.
        out_channels: Channels of the teacher's map; likewise.
        over: ``'batch'``, ``'image'`` or ``'position'``, see
            :func:`~mmdistill_dense.functional.standardise`.
        eps: Added to the variance.

    Raises:
        ValueError: If ``over`` is unknown.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        over: str = 'batch',
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if over not in NORM_DIMS:
            raise ValueError(
                f'NormConnector: over must be one of {sorted(NORM_DIMS)}, got '
                f'{over!r}.'
            )
        self.over, self.eps = over, eps
        self.align = align_channels(in_channels, out_channels)

    def forward(self, feature: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W)."""
        return standardise(self.align(feature), self.over, self.eps)

    def extra_repr(self) -> str:
        return f'over={self.over!r}, eps={self.eps}'
