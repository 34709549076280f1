"""The registered loss of CWD."""

from torch import Tensor

from mmdistill_dense.functional import channel_wise_divergence
from mmdistill_dense.registry import MODELS

from .temperature_loss import TemperatureLoss


@MODELS.register_module()
class ChannelWiseLoss(TemperatureLoss):
    """Channel-wise KL divergence of two maps (CWD, ICCV 2021).

    ``loss_weight * channel_wise_divergence``: mean over N and the teacher's
    channels, sum over positions, times tau squared. Other toolboxes divide
    or report differently; ``docs/losses.md`` gives the factors.

    Args:
        tau: Temperature of both softmaxes, above 0.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def forward(self, *, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare two (N, C, H, W) maps of one shape; returns a scalar."""
        return self.loss_weight * channel_wise_divergence(
            student=student, teacher=teacher, tau=self.tau
        )
