"""The registered form of CWD."""

from torch import Tensor, nn

from mmdistill_dense.functional import channel_wise_divergence
from mmdistill_dense.functional.checks import check_positive
from mmdistill_dense.registry import MODELS

from .weight import check_weight


@MODELS.register_module()
class ChannelWiseLoss(nn.Module):
    """Channel-wise KL divergence of two maps (CWD, ICCV 2021).

    ``loss_weight * channel_wise_divergence``: mean over N and the teacher's
    channels, sum over positions, times tau squared. Other toolboxes divide
    or report differently; ``docs/losses.md`` gives the factors.

    Args:
        tau: Temperature of both softmaxes, above 0.
        loss_weight: Factor of the loss, not negative. At 0 the term rests.
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_positive(type(self).__name__, tau=tau)
        self.tau = tau
        self.loss_weight = check_weight(type(self).__name__, loss_weight)

    def forward(self, *, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare two (N, C, H, W) maps of one shape; returns a scalar."""
        return self.loss_weight * channel_wise_divergence(
            student=student, teacher=teacher, tau=self.tau
        )

    def extra_repr(self) -> str:
        return f'tau={self.tau}, loss_weight={self.loss_weight}'
