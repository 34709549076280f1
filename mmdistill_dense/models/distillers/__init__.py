"""What turns a stock student into a distilled one."""

from .dense_distiller import DenseDistiller
from .mask_token_learner import MaskTokenLearner
from .pixel_contrast_distiller import PixelContrastDistiller

__all__ = ['DenseDistiller', 'MaskTokenLearner', 'PixelContrastDistiller']
