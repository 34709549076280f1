"""The loss of PCD as a registered module."""

from torch import Tensor

from mmdistill_dense.functional import pixel_contrast_statistics
from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.registry import MODELS

from ..losses.temperature_loss import TemperatureLoss


@MODELS.register_module()
class PixelContrastLoss(TemperatureLoss):
    """Pixel-wise contrast with a queue of negatives (PCD, ICCV 2023).

    ``loss_weight * pixel_contrast``: mean over the cells of all images,
    without a factor of tau.

    Args:
        tau: Temperature, above 0.
        loss_weight: Factor of the loss, not negative.
        chunk: Number of cells whose logits are computed at a time; ``None``:
            as many as fit into 64 MiB.
    """

    def __init__(
        self,
        tau: float = 0.2,
        loss_weight: float = 1.0,
        chunk: int | None = None,
    ) -> None:
        super().__init__(tau, loss_weight)
        if chunk is not None:
            check_int(f'{type(self).__name__}: chunk', chunk, 1)
        self.chunk = chunk

    def forward(
        self,
        *,
        student: Tensor,
        teacher: Tensor,
        queue: Tensor,
        valid: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare two (N, C, H, W) maps, with a queue (C, K) of negatives.

        Returns:
            The loss, a scalar, and the statistics of
            :func:`~mmdistill_dense.functional.pixel_contrast_statistics`,
            which ``loss_weight`` does not change.
        """
        loss, statistics = pixel_contrast_statistics(
            student=student,
            teacher=teacher,
            queue=queue,
            tau=self.tau,
            valid=valid,
            chunk=self.chunk,
        )
        return self.loss_weight * loss, statistics

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, chunk={self.chunk}'
