"""The registered loss of pixel-wise distillation."""

from torch import Tensor

from mmdistill_dense.functional import pixel_wise_divergence
from mmdistill_dense.registry import MODELS

from .temperature_loss import TemperatureLoss


@MODELS.register_module()
class PixelWiseLoss(TemperatureLoss):
    """KL divergence over the classes of each pixel (PI in CWD's tables).

    ``loss_weight * pixel_wise_divergence``: sum over classes, mean over N
    and pixels, times tau squared. Other toolboxes divide or report
    differently; ``docs/losses.md`` gives the factors. Each prior of a dense
    detector counts as a pixel of its own.

    Args:
        tau: Temperature of both softmaxes, above 0.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    per_prior = True

    def forward(self, *, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare two (N, C, H, W) logits of one shape; returns a scalar."""
        return self.loss_weight * pixel_wise_divergence(
            student=student, teacher=teacher, tau=self.tau
        )
