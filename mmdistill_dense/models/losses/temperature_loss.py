"""Base class of losses with a temperature."""

from mmdistill_dense.functional.checks import check_positive

from .base import DistillationLoss


class TemperatureLoss(DistillationLoss):
    """Settings of a loss on softmaxes; subclasses implement ``forward``.

    Args:
        tau: Temperature of both softmaxes, above 0.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        check_positive(type(self).__name__, tau=tau)
        self.tau = tau

    def extra_repr(self) -> str:
        return f'tau={self.tau}, {super().extra_repr()}'
