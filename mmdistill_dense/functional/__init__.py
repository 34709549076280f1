"""The mathematics: pure functions of tensors, importing torch only."""

from .channel_wise import channel_wise_divergence
from .pixel_wise import pixel_wise_divergence
from .spatial import resize_to

__all__ = ['channel_wise_divergence', 'pixel_wise_divergence', 'resize_to']
