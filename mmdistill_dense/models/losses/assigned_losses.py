"""The registered losses that need what a dense head has assigned."""

from torch import Tensor, nn

from mmdistill_dense.functional import (
    edge_divergence,
    focal_score_distance,
    largest_scores,
    overlap_distance,
)
from mmdistill_dense.functional.checks import check_not_negative
from mmdistill_dense.functional.edges import EDGES
from mmdistill_dense.functional.scores import check_priors
from mmdistill_dense.registry import MODELS

from .base import DistillationLoss
from .inputs import Assignment, Extras, extra, on_grid
from .temperature_loss import TemperatureLoss

#: What MMDetection 3.x adds to the divisor of a sum.
_EPS = 2.0**-23


class _EdgeLoss(TemperatureLoss):
    """A loss of edges, with ``eps`` added to their number."""

    def __init__(self, tau: float, eps: float, loss_weight: float) -> None:
        super().__init__(tau, loss_weight)
        check_not_negative(type(self).__name__, eps=eps)
        self.eps = eps

    def extra_repr(self) -> str:
        return f'eps={self.eps}, {super().extra_repr()}'


@MODELS.register_module()
class LocalisationLoss(_EdgeLoss):
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
        super().__init__(tau, eps, loss_weight)

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


class _OverPositives(DistillationLoss):
    """A sum over the number of positives, plus ``eps``."""

    def __init__(self, eps: float = _EPS, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        check_not_negative(type(self).__name__, eps=eps)
        self.eps = eps

    def extra_repr(self) -> str:
        return f'eps={self.eps}, {super().extra_repr()}'


@MODELS.register_module()
class FocalScoreLoss(_OverPositives):
    """Quality focal loss of the teacher's class scores (CrossKD, CVPR 2024).

    ``loss_weight * focal_score_distance / avg_factor``: sum over all priors,
    weighted by their label weights, and classes, over the number of
    positives that the student's head has assigned.

    Args:
        eps: Added to the divisor, not negative.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def forward(
        self, *, student: Tensor, teacher: Tensor, assigned: Assignment
    ) -> Tensor:
        """Compare two (N, A K, H, W) class logits; returns a scalar.

        Args:
            student: Class logits of A priors a cell, K classes each.
            teacher: Those of the teacher.
            assigned: Assignment of the level.
        """
        total = focal_score_distance(
            student=student,
            teacher=teacher,
            weight=on_grid(assigned.label_weights, student),
        )
        return self.loss_weight * total / (assigned.avg_factor + self.eps)


@MODELS.register_module()
class EdgeDistributionLoss(_EdgeLoss):
    """KL divergence of the edges of all boxes of a GFL head (CrossKD).

    ``loss_weight / 4 * edge_divergence`` over the sum of the weights of all
    levels: sum over bins, mean over edges, and over positions weighted by
    the teacher's largest class score, 0 where the label weight is. The term
    records the teacher's class logits as
    ``extras=dict(scores=dict(teacher='bbox_head.gfl_cls'))``. Where all
    weights are 0 so is the loss, and its gradient.

    Args:
        tau: Temperature of both softmaxes, above 0.
        eps: Added to the 4, not negative.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def __init__(
        self, tau: float = 1.0, eps: float = _EPS, loss_weight: float = 1.0
    ) -> None:
        super().__init__(tau, eps, loss_weight)

    def forward(
        self,
        *,
        student: Tensor,
        teacher: Tensor,
        assigned: Assignment,
        extras: Extras,
    ) -> tuple[Tensor, Tensor]:
        """Compare two (N, 4 B, H, W) logits of edges.

        Args:
            student: The student's logits, with the scale of their level.
            teacher: The teacher's, likewise.
            assigned: Assignment of the level, of one prior per cell.
            extras: ``scores``: class logits (N, K, H, W) of the teacher.

        Returns:
            The weighted sum, and the sum of the weights.
        """
        logits = extra(self, extras, 'scores', 'teacher')
        chosen = on_grid(assigned.label_weights, student) > 0
        weight = _scores_of(self, logits, chosen).squeeze(1)
        total = edge_divergence(
            student=student, teacher=teacher, weight=weight, tau=self.tau
        )
        return self.loss_weight * total / (EDGES + self.eps), weight.sum()


@MODELS.register_module()
class BoxOverlapLoss(_OverPositives):
    """1 minus the generalised IoU of decoded boxes (CrossKD on RetinaNet).

    ``loss_weight * overlap_distance / avg_factor``: sum over all priors,
    weighted by the teacher's largest class score, 0 where the label weight
    is, over the number of positives that the student's head has assigned.
    Boxes are decoded as the student's head does. The term records the
    teacher's class logits as
    ``extras=dict(scores=dict(teacher='bbox_head.retina_cls'))``.

    Args:
        eps: Added to the divisor, not negative.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def forward(
        self,
        *,
        student: Tensor,
        teacher: Tensor,
        assigned: Assignment,
        extras: Extras,
    ) -> Tensor:
        """Compare two (N, 4 A, H, W) outputs of a head with anchors.

        Args:
            student: Encoded differences to A priors a cell.
            teacher: Those of the teacher.
            assigned: Assignment of the level.
            extras: ``scores``: class logits (N, A K, H, W) of the teacher.

        Returns:
            A scalar.

        Raises:
            ValueError: If the student's head does not encode differences.
        """
        if assigned.coding is None:
            raise ValueError(
                'BoxOverlapLoss needs a student whose head encodes the '
                'difference of boxes to anchors, as RetinaNet and ATSS do. '
                'For a GFL head use EdgeDistributionLoss.'
            )
        logits = extra(self, extras, 'scores', 'teacher')
        chosen = on_grid(assigned.label_weights, student) > 0
        means, stds = assigned.coding
        total = overlap_distance(
            student=student,
            teacher=teacher,
            priors=on_grid(assigned.priors, student),
            weight=_scores_of(self, logits, chosen),
            means=means,
            stds=stds,
        )
        return self.loss_weight * total / (assigned.avg_factor + self.eps)


def _scores_of(loss: nn.Module, logits: Tensor, chosen: Tensor) -> Tensor:
    """Largest class score of the chosen priors (N, A, H, W), of others 0."""
    check_priors(type(loss).__name__, chosen, like=logits)
    per_prior = logits.unflatten(1, (chosen.shape[1], -1))
    return largest_scores(per_prior, 2) * chosen
