from .channel_wise_loss import ChannelWiseLoss
from .pixel_wise_loss import PixelWiseLoss

__all__ = ['ChannelWiseLoss', 'PixelWiseLoss']
