"""Losses in their plain form, written from the formulas, for comparison.

Each follows its formula directly: no recomputation, no early gradient, every
intermediate in memory.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, normalize, softmax


def channel_wise(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """CWD of (N, C, H, W) maps; see ``channel_wise_divergence``."""
    count, channels = student.shape[:2]
    log_q = log_softmax(student.flatten(2) / tau, dim=2)
    log_p = log_softmax(teacher.flatten(2) / tau, dim=2)
    total = (log_p.exp() * (log_p - log_q)).sum()
    return tau**2 * total / (count * channels)


def pixel_wise(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """KL divergence over classes; see ``pixel_wise_divergence``."""
    p = softmax(teacher / tau, dim=1)
    log_ratio = log_softmax(teacher / tau, 1) - log_softmax(student / tau, 1)
    return tau**2 * (p * log_ratio).sum(1).mean()


def masked(student: Tensor, teacher: Tensor, tokens: Tensor) -> Tensor:
    """MasKD of (N, C, H, W) maps and (T, C) tokens, tokens alike.

    Each mask is multiplied with the difference, which creates
    (N, T, C, H, W) tensors.
    """
    masks = torch.einsum('tc,nchw->nthw', tokens, teacher).sigmoid()
    over = masks[:, :, None]  # N,T,1,H,W
    squares = (over * (student - teacher)[:, None]).square()  # N,T,C,H,W
    return (squares.sum((3, 4)) / over.sum((3, 4))).mean()


def contrast(
    student: Tensor, teacher: Tensor, queue: Tensor, tau: float
) -> Tensor:
    """PCD of (N, C, H, W) maps and a (C, K) queue: one matrix of logits."""
    rows, targets = (
        normalize(maps.permute(0, 2, 3, 1).flatten(0, 2))  # N,C,H,W -> NHW,C
        for maps in (student, teacher)
    )
    positive = (rows * targets).sum(1, keepdim=True)
    logits = torch.cat([positive, rows @ queue], 1) / tau  # NHW,1+K
    return cross_entropy(logits, logits.new_zeros(len(logits)).long())
