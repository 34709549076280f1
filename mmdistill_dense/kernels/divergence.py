"""Channel-wise divergence (CWD) with its gradient; source: functional."""

import torch
from torch import Tensor

from . import divergence_rows, divergence_tiles
from .device import gpu_properties
from .strides import map_strides


def channel_wise(
    student: Tensor,
    teacher: Tensor,
    tau: float,
    gradient: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    r"""KL divergence of each channel's softmax over positions.

    :math:`D_{nc} = \sum_i p^T_i \log (p^T_i / p^S_i)` with
    :math:`p = \mathrm{softmax}(x / \tau)`, in nats, without a factor of
    :math:`\tau`. All arithmetic is in float32.

    Args:
        student: Map of shape (N, C, H, W), any strides.
        teacher: Map of the same shape; dtype and strides may differ.
        tau: Temperature.
        gradient: Output for ``scale * (p_S - p_T)``, a map of the same
            shape, any dtype, and strides that do not overlap.
        scale: A power of two that keeps small probabilities in float16.

    Returns:
        D of shape (N, C), float32.
    """
    written = student if gradient is None else gradient
    maps = map_strides(student, teacher, written)
    channels = student.shape[0] * student.shape[1]
    # One program per channel needs at least as many channels as there are
    # processors, and reads positions in order.
    whole = channels >= gpu_properties(student.device).multiprocessors
    in_order = maps.positions_first and not any(x.row for x in maps.strides)
    rows, tiles = divergence_rows.channel_wise, divergence_tiles.channel_wise
    kernel = rows if whole and in_order else tiles
    with torch.cuda.device_of(student):
        return kernel(student, teacher, tau, gradient, scale, maps=maps)
