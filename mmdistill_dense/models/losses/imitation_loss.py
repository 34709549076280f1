"""The registered loss of head imitation."""

from torch import Tensor

from mmdistill_dense.functional import smooth_l1_distance
from mmdistill_dense.functional.checks import check_not_negative
from mmdistill_dense.registry import MODELS

from .base import DistillationLoss


@MODELS.register_module()
class ImitationLoss(DistillationLoss):
    """Smooth L1 distance between the outputs of two heads.

    ``loss_weight * smooth_l1_distance``: mean over all elements of one
    output. A dense head has one output per level, and a term sums them.

    Args:
        beta: Difference at which the quadratic part becomes linear, not
            negative; 0 gives the L1 distance.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def __init__(self, beta: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        check_not_negative(type(self).__name__, beta=beta)
        self.beta = beta

    def forward(self, *, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare two outputs of one shape, (R, K) or (N, C, H, W)."""
        return self.loss_weight * smooth_l1_distance(
            student=student, teacher=teacher, beta=self.beta
        )

    def extra_repr(self) -> str:
        return f'beta={self.beta}, {super().extra_repr()}'
