"""Channel-wise knowledge distillation (CWD)."""

from torch import Tensor

from .checks import check_maps, check_positive
from .divergence import softmax_divergence


def channel_wise_divergence(
    *, student: Tensor, teacher: Tensor, tau: float = 1.0
) -> Tensor:
    r"""KL divergence between the spatial distributions of each channel.

    With :math:`p^X_{nci} = \mathrm{softmax}_i(X_{nci} / \tau)` over the
    :math:`H W` positions :math:`i` of channel :math:`c`,

    .. math::
        L = \frac{\tau^2}{N C} \sum_{n,c,i}
            p^T_{nci} \log \frac{p^T_{nci}}{p^S_{nci}}

    Normalisation: mean over N and C, *sum* over positions, times
    :math:`\tau^2`. The softmax runs over positions, not over classes, so a
    constant added to a channel of either map changes nothing.

    Computed in float32 inside autocast and for half precision maps, in
    float64 for float64 maps. No gradient reaches the teacher. The
    student's gradient is computed in the forward pass and saved, at the size
    of its map. Backward runs once, or several times with
    ``retain_graph=True``; a second derivative raises an error.

    Source: Shu et al., "Channel-wise Knowledge Distillation for Dense
    Prediction", ICCV 2021 (arXiv 2011.13256).

    Args:
        student: Map of shape (N, C, H, W), logits or features.
        teacher: Map of the same shape.
        tau: Temperature, above 0. Larger values give more weight to what is
            not a peak.

    Returns:
        A scalar, zero where the two agree up to a constant per channel.

    Raises:
        TypeError: If a map is not a floating point tensor.
        ValueError: If the shapes differ or are not 4-D, or ``tau`` is not
            positive.

    Example:
        >>> import torch
        >>> student = torch.zeros(1, 1, 1, 2)
        >>> teacher = torch.tensor([3.0, 1.0]).log().view(1, 1, 1, 2)
        >>> value = channel_wise_divergence(student=student, teacher=teacher)
        >>> round(value.item(), 4)  # 3/4 log(3/2) + 1/4 log(1/2)
        0.1308
    """
    name = 'channel_wise_divergence'
    check_maps(name, student=student, teacher=teacher)
    check_positive(name, tau=tau)
    return softmax_divergence(student, teacher, tau, dim=2)
