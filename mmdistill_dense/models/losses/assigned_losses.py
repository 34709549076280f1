"""The registered losses that need what a dense head has assigned."""

from torch import Tensor, nn

from mmdistill_dense.functional import (
    edge_divergence,
    largest_scores,
)
from mmdistill_dense.functional.checks import check_not_negative
from mmdistill_dense.functional.edges import EDGES
from mmdistill_dense.functional.scores import check_priors
from mmdistill_dense.registry import MODELS

from .inputs import Assignment, Extras, extra, on_grid
from .temperature_loss import TemperatureLoss


@MODELS.register_module()
class LocalisationLoss(TemperatureLoss):
    r"""Localisation distillation of a GFL head (LD, CVPR 2022).

    ``loss_weight / (4 B) * edge_divergence``: of each positive, weighted by
    its largest class score; sum over positives and edges, mean over the B
    bins, times tau squared. Positives are those of the student's head. The
    score is the student's own, without gradient: the term records its class
    logits as ``extras=dict(scores=dict(student='bbox_head.gfl_cls'))``.

    The sum is not divided by the number of positives: it grows with the
    batch and the image, as in the authors' code. Without positives it is 0.

    Args:
        tau: Temperature of both softmaxes, above 0.
        eps: Added to the divisor 4, not negative; MMDetection 3.x has
            ``2**-23`` there.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def __init__(
        self, tau: float = 10.0, eps: float = 0.0, loss_weight: float = 1.0
    ) -> None:
        super().__init__(tau, loss_weight)
        check_not_negative(type(self).__name__, eps=eps)
        self.eps = eps

    def forward(
        self,
        *,
        student: Tensor,
        teacher: Tensor,
        assigned: Assignment,
        extras: Extras,
    ) -> Tensor:
        """Compare two (N, 4 B, H, W) logits of edges; returns a scalar.

        Args:
            student: The student's logits, with the scale of their level.
            teacher: The teacher's, likewise.
            assigned: Assignment of the level, of one prior per cell.
            extras: ``scores``: class logits (N, K, H, W) of the student.
        """
        logits = extra(self, extras, 'scores', 'student')
        positive = on_grid(assigned.positives(logits.shape[1]), student)
        weight = _scores_of(self, logits, positive)
        total = edge_divergence(
            student=student,
            teacher=teacher,
            weight=weight.squeeze(1),  # one prior per cell
            tau=self.tau,
        )
        bins = student.shape[1] / EDGES
        return self.loss_weight * total / (bins * (EDGES + self.eps))

    def extra_repr(self) -> str:
        return f'eps={self.eps}, {super().extra_repr()}'


def _scores_of(loss: nn.Module, logits: Tensor, chosen: Tensor) -> Tensor:
    """Largest class score of the chosen priors (N, A, H, W), of others 0."""
    check_priors(type(loss).__name__, chosen, like=logits)
    per_prior = logits.unflatten(1, (chosen.shape[1], -1))
    return largest_scores(per_prior, 2) * chosen
