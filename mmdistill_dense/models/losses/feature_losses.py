"""The registered losses on normalised and plain maps."""

from torch import Tensor

from mmdistill_dense.functional import (
    correlation_distance,
    cosine_distance,
    mean_squared_distance,
    summed_squared_distance,
)
from mmdistill_dense.registry import MODELS

from .base import DistillationLoss


@MODELS.register_module()
class CorrelationLoss(DistillationLoss):
    """Pearson correlation of two maps, channel by channel (PKD, NeurIPS 2022).

    ``loss_weight * correlation_distance``: half the mean squared difference
    of the maps, normalised per channel over the batch.

    Args:
        constant_gradient: Whether constant channels of the student get the
            very large gradient of the published formula; by default none.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def __init__(
        self, constant_gradient: bool = False, loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight)
        self.constant_gradient = constant_gradient

    def forward(self, *, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare two (N, C, H, W) maps of one shape; returns a scalar."""
        return self.loss_weight * correlation_distance(
            student=student,
            teacher=teacher,
            constant_gradient=self.constant_gradient,
        )


@MODELS.register_module()
class SquaredErrorLoss(DistillationLoss):
    """Mean squared difference (the hint loss of FitNets, ICLR 2015).

    ``loss_weight * mean_squared_distance``: mean over all elements.

    Args:
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def forward(self, *, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare two outputs of one shape, such as (N, C, H, W)."""
        return self.loss_weight * mean_squared_distance(
            student=student, teacher=teacher
        )


@MODELS.register_module()
class SummedErrorLoss(DistillationLoss):
    """Squared difference, summed over each image (MGD, ECCV 2022).

    ``loss_weight * summed_squared_distance``: sum over C, H and W, mean over
    N. With a ``MaskedGenerator`` as connector it is MGD, whose weights are
    2e-5 for one-stage detectors and 5e-7 for two-stage ones.

    Args:
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def forward(self, *, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare two outputs of one shape, such as (N, C, H, W)."""
        return self.loss_weight * summed_squared_distance(
            student=student, teacher=teacher
        )


@MODELS.register_module()
class CosineLoss(DistillationLoss):
    """One minus the cosine of the vectors at each position.

    ``loss_weight * cosine_distance``: mean over N and positions. With an
    ``MLPConnector`` or a ``ConvConnector`` it distils from encoders.

    Args:
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def forward(self, *, student: Tensor, teacher: Tensor) -> Tensor:
        """Compare two (N, C, H, W) maps of one shape; returns a scalar."""
        return self.loss_weight * cosine_distance(
            student=student, teacher=teacher
        )
