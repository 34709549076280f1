"""Divergence of the edge distributions of boxes (LD, CrossKD)."""

from torch import Tensor

from .checks import check_maps, check_positive
from .divergence import weighted_divergence
from .spatial import split_channels

#: Left, top, right and bottom.
EDGES = 4


def edge_divergence(
    *, student: Tensor, teacher: Tensor, weight: Tensor, tau: float = 1.0
) -> Tensor:
    r"""KL divergence between the distributions of the edges of boxes.

    A head of generalised focal loss gives, for each edge :math:`e` of the box
    at position :math:`i`, logits of :math:`B` distances. With their softmax
    :math:`p_{nei} = \mathrm{softmax}_b(X_{nebi} / \tau)`,

    .. math::
        L = \tau^2 \sum_{n,i} w_{ni} \sum_{e=1}^{4} \sum_b
            p^T_{nebi} \log \frac{p^T_{nebi}}{p^S_{nebi}}

    Normalisation: *sum* over bins, edges, positions and N, times
    :math:`\tau^2`; 0 where all weights are.

    Computed in float32 inside autocast and for half precision maps, in
    float64 for float64 maps. No gradient reaches the teacher or the weights.
    The student's gradient is computed in the forward pass and saved, at the
    size of its map. Backward runs once, or several times with
    ``retain_graph=True``; a second derivative raises an error.

    Source: Zheng et al., "Localization Distillation for Dense Object
    Detection", CVPR 2022 (arXiv 2102.12252), eq. 3 and 4.

    Args:
        student: Logits of shape (N, 4 B, H, W), the bins of one edge after
            another.
        teacher: Logits of the same shape.
        weight: Weight of each position (N, H, W), between 0 and 1.
        tau: Temperature, above 0.

    Returns:
        A scalar, zero if the two agree up to a constant per edge.

    Raises:
        TypeError: If a map is not a floating point tensor.
        ValueError: If shapes do not fit, if there are not four times at least
            two channels, or if ``tau`` is not positive.

    Example:
        >>> import torch
        >>> student = torch.zeros(1, 8, 1, 1)  # two bins
        >>> edge = torch.tensor([3.0, 1.0]).log()
        >>> teacher = edge.repeat(4).view(1, 8, 1, 1)
        >>> value = edge_divergence(
        ...     student=student, teacher=teacher, weight=torch.ones(1, 1, 1)
        ... )
        >>> round(value.item(), 4)  # 4 (3/4 log(3/2) + 1/4 log(1/2))
        0.5232
    """
    name = 'edge_divergence'
    check_maps(name, student=student, teacher=teacher)
    check_positive(name, tau=tau)
    channels = student.shape[1]
    if channels % EDGES or channels < 2 * EDGES:
        raise ValueError(
            f'{name}: expected 4 edges of at least 2 bins each, got '
            f'{channels} channels. Record the logits of edge distributions, '
            "such as 'bbox_head.scales.*' of GFL; a head that regresses "
            'numbers has none.'
        )
    shape = (len(student), *student.shape[2:])
    if weight.shape != shape:
        raise ValueError(
            f'{name}: weight must have shape {shape} for maps of shape '
            f'{tuple(student.shape)}, got {tuple(weight.shape)}.'
        )
    s, t = (split_channels(x, EDGES) for x in (student, teacher))
    # -> N,4,B,H,W, and N,1,1,H,W for the weight
    return weighted_divergence(s, t, tau, 2, weight[:, None, None])
