from .assigned_losses import LocalisationLoss
from .base import DistillationLoss
from .channel_wise_loss import ChannelWiseLoss
from .feature_losses import (
    CorrelationLoss,
    CosineLoss,
    SquaredErrorLoss,
    SummedErrorLoss,
)
from .focal_global_loss import FocalGlobalLoss
from .imitation_loss import ImitationLoss
from .pixel_wise_loss import PixelWiseLoss

__all__ = [
    'ChannelWiseLoss',
    'CorrelationLoss',
    'CosineLoss',
    'DistillationLoss',
    'FocalGlobalLoss',
    'ImitationLoss',
    'LocalisationLoss',
    'PixelWiseLoss',
    'SquaredErrorLoss',
    'SummedErrorLoss',
]
