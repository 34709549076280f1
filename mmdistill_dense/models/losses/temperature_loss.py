"""What every loss with a temperature shares."""

from mmdistill_dense.functional.checks import check_positive

from .base import DistillationLoss


class TemperatureLoss(DistillationLoss):
    """The two settings of a loss on softmaxes; subclasses say ``forward``.

    Args:
        tau: Temperature of both softmaxes, above 0.
        loss_weight: Factor of the loss, not negative. At 0 the term rests.
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        check_positive(type(self).__name__, tau=tau)
        self.tau = tau

    def extra_repr(self) -> str:
        return f'tau={self.tau}, {super().extra_repr()}'
