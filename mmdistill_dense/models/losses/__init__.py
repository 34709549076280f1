from .base import DistillationLoss
from .channel_wise_loss import ChannelWiseLoss
from .imitation_loss import ImitationLoss
from .pixel_wise_loss import PixelWiseLoss

__all__ = [
    'ChannelWiseLoss',
    'DistillationLoss',
    'ImitationLoss',
    'PixelWiseLoss',
]
