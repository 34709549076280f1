"""What every loss with a temperature shares."""

from torch import nn

from mmdistill_dense.functional.checks import check_positive, check_weight


class TemperatureLoss(nn.Module):
    """The two settings of a loss on softmaxes; subclasses say ``forward``.

    Args:
        tau: Temperature of both softmaxes, above 0.
        loss_weight: Factor of the loss, not negative. At 0 the term rests.
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_positive(type(self).__name__, tau=tau)
        self.tau = tau
        self.loss_weight = check_weight(type(self).__name__, loss_weight)

    def extra_repr(self) -> str:
        return f'tau={self.tau}, loss_weight={self.loss_weight}'
