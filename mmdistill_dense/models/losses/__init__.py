from .channel_wise_loss import ChannelWiseLoss
from .imitation_loss import ImitationLoss
from .masked_loss import MaskedDetectionLoss, MaskedSegmentationLoss
from .pixel_contrast_loss import PixelContrastLoss
from .pixel_wise_loss import PixelWiseLoss

__all__ = [
    'ChannelWiseLoss',
    'ImitationLoss',
    'MaskedDetectionLoss',
    'MaskedSegmentationLoss',
    'PixelContrastLoss',
    'PixelWiseLoss',
]
