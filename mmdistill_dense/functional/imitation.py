"""Head imitation: the distance between the outputs of two heads."""

from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from .checks import check_not_negative, check_outputs
from .precision import full_precision


def smooth_l1_distance(
    *, student: Tensor, teacher: Tensor, beta: float = 1.0
) -> Tensor:
    r"""Smooth L1 distance of two outputs, element by element.

    With the differences :math:`d_i = S_i - T_i` of :math:`M` elements,

    .. math::
        L = \frac{1}{M} \sum_i \begin{cases}
            d_i^2 / (2 \beta) & |d_i| < \beta \\
            |d_i| - \beta / 2 & \text{else}
        \end{cases}

    Normalisation: mean over *all* elements: RoIs or positions, classes,
    coordinates, images. Without elements, as when no RoI is sampled, it is 0.

    Computed in float32 inside autocast and for half precision tensors, in
    float64 for float64 ones. No gradient reaches the teacher.

    Source: the imitation of box regression in the official code of Huang et
    al., "Masked Distillation with Receptive Tokens", ICLR 2023 (arXiv
    2205.14589).

    Args:
        student: Output of a head, of any shape: (R, K) for R RoIs, or a map
            (N, C, H, W).
        teacher: Output of the same shape, for the same RoIs or cells.
        beta: Difference at which the quadratic part becomes linear, not
            negative; 0 gives the L1 distance.

    Returns:
        A scalar, zero if the two agree.

    Raises:
        TypeError: If one is not a floating point tensor.
        ValueError: If the shapes differ, or ``beta`` is negative.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.5, 3.0]])
        >>> teacher = torch.zeros(1, 2)
        >>> value = smooth_l1_distance(student=student, teacher=teacher)
        >>> value.item()  # (0.5**2 / 2 + (3 - 1/2)) / 2
        1.3125
    """
    name = 'smooth_l1_distance'
    check_outputs(name, student=student, teacher=teacher)
    check_not_negative(name, beta=beta)
    with full_precision(student, teacher.detach()) as (s, t):
        total = smooth_l1_loss(s, t, beta=beta, reduction='sum')
        return total / max(s.numel(), 1)
