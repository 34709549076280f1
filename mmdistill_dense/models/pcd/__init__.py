"""PCD: pixel-wise contrastive distillation, its teachers and its parts."""

from .backbone_classifier import BackboneClassifier
from .instance_contrast import InstanceContrast
from .mobilenet_v3 import MobileNetV3
from .multi_view_preprocessor import MultiViewPreprocessor
from .pixel_attention import PixelAttention
from .pixel_contrast_distiller import PixelContrastDistiller
from .pixel_contrast_loss import PixelContrastLoss
from .pixel_head import PixelHead

__all__ = [
    'BackboneClassifier',
    'InstanceContrast',
    'MobileNetV3',
    'MultiViewPreprocessor',
    'PixelAttention',
    'PixelContrastDistiller',
    'PixelContrastLoss',
    'PixelHead',
]
