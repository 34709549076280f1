from .assigned_losses import (
    BoxOverlapLoss,
    EdgeDistributionLoss,
    FocalScoreLoss,
    LocalisationLoss,
)
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
    'BoxOverlapLoss',
    'ChannelWiseLoss',
    'CorrelationLoss',
    'CosineLoss',
    'DistillationLoss',
    'EdgeDistributionLoss',
    'FocalGlobalLoss',
    'FocalScoreLoss',
    'ImitationLoss',
    'LocalisationLoss',
    'PixelWiseLoss',
    'SquaredErrorLoss',
    'SummedErrorLoss',
]
