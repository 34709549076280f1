"""MasKD: receptive tokens, the learner, the losses; its hooks and loops."""

from .mask_token_learner import MaskTokenLearner
from .masked_loss import MaskedDetectionLoss, MaskedSegmentationLoss

__all__ = ['MaskTokenLearner', 'MaskedDetectionLoss', 'MaskedSegmentationLoss']
