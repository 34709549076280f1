"""Pixel-wise knowledge distillation: KL divergence over the classes."""

from torch import Tensor

from .checks import check_classes, check_maps, check_positive
from .divergence import softmax_divergence


def pixel_wise_divergence(
    *, student: Tensor, teacher: Tensor, tau: float = 1.0
) -> Tensor:
    r"""KL divergence between the class distributions of each pixel.

    With :math:`p^X_{nci} = \mathrm{softmax}_c(X_{nci} / \tau)` over the
    :math:`C` classes :math:`c` at position :math:`i`,

    .. math::
        L = \frac{\tau^2}{N H W} \sum_{n,c,i}
            p^T_{nci} \log \frac{p^T_{nci}}{p^S_{nci}}

    Normalisation: *sum* over classes, mean over N and positions, times
    :math:`\tau^2`. The softmax runs over classes, not over positions, so a
    constant added to all classes of a pixel changes nothing.

    Computed in float32 inside autocast and for half precision maps, in
    float64 for float64 maps. No gradient reaches the teacher. The
    student's gradient is computed in the forward pass and saved, at the size
    of its map. Backward runs once, or several times with
    ``retain_graph=True``; a second derivative raises an error.

    Source: the pixel-wise term of Liu et al., "Structured Knowledge
    Distillation for Semantic Segmentation", CVPR 2019 (arXiv 1903.04197);
    the temperature and its square after Hinton et al. (arXiv 1503.02531).

    Args:
        student: Logits of shape (N, C, H, W), C at least 2.
        teacher: Logits of the same shape, the same classes in the same order.
        tau: Temperature, above 0. Larger values give more weight to
            classes other than the best.

    Returns:
        A scalar, zero where the two agree up to a constant per pixel.

    Raises:
        TypeError: If a map is not a floating point tensor.
        ValueError: If the shapes differ or are not 4-D, if there is one
            class only, or if ``tau`` is not positive.

    Example:
        >>> import torch
        >>> student = torch.zeros(1, 2, 1, 1)
        >>> teacher = torch.tensor([3.0, 1.0]).log().view(1, 2, 1, 1)
        >>> value = pixel_wise_divergence(student=student, teacher=teacher)
        >>> round(value.item(), 4)  # 3/4 log(3/2) + 1/4 log(1/2)
        0.1308
    """
    name = 'pixel_wise_divergence'
    check_maps(name, student=student, teacher=teacher)
    check_classes(name, student)
    check_positive(name, tau=tau)
    return softmax_divergence(student, teacher, tau, dim=1)
