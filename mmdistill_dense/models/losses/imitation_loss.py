"""The registered form of head imitation."""

from torch import Tensor

from mmdistill_dense.functional import smooth_l1_distance
from mmdistill_dense.functional.checks import check_not_negative
from mmdistill_dense.registry import MODELS

from .base import DistillationLoss


@MODELS.register_module()
class ImitationLoss(DistillationLoss):
    """Smooth L1 distance of the outputs of two heads.

    ``loss_weight * smooth_l1_distance``: mean over all elements of one
    output. A dense head gives one output per level, and a term sums them.

    Args:
        beta: Where the square ends and the line begins, not negative; at 0
            it is the L1 distance.
        loss_weight: Factor of the loss, not negative. At 0 the term rests.
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
