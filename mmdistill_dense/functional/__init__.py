"""Losses as pure functions of tensors; imports torch only."""

from .attention_pool import attention_pool
from .box_masks import box_masks
from .boxes import decode_boxes, overlap_distance
from .channel_wise import channel_wise_divergence
from .correlation import correlation_distance
from .edges import edge_divergence
from .feature_distance import (
    cosine_distance,
    mean_squared_distance,
    summed_squared_distance,
)
from .focal_global import (
    FocalGlobalDistances,
    activation_attention,
    focal_global_distances,
)
from .imitation import smooth_l1_distance
from .masked import mask_diversity, masked_distance, receptive_masks
from .pixel_contrast import pixel_contrast, pixel_contrast_statistics
from .pixel_wise import pixel_wise_divergence
from .random_mask import keep_mask, keyed_generator
from .scores import focal_score_distance, largest_scores
from .spatial import resample_to, resize_to
from .standardise import standardise, transferred_statistics

__all__ = [
    'FocalGlobalDistances',
    'activation_attention',
    'attention_pool',
    'box_masks',
    'channel_wise_divergence',
    'correlation_distance',
    'cosine_distance',
    'decode_boxes',
    'edge_divergence',
    'focal_global_distances',
    'focal_score_distance',
    'keep_mask',
    'keyed_generator',
    'largest_scores',
    'mask_diversity',
    'masked_distance',
    'mean_squared_distance',
    'overlap_distance',
    'pixel_contrast',
    'pixel_contrast_statistics',
    'pixel_wise_divergence',
    'receptive_masks',
    'resample_to',
    'resize_to',
    'smooth_l1_distance',
    'standardise',
    'summed_squared_distance',
    'transferred_statistics',
]
