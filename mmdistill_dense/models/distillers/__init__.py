"""What turns a stock student into a distilled one."""

from .dense_distiller import DenseDistiller
from .mask_token_learner import MaskTokenLearner

__all__ = ['DenseDistiller', 'MaskTokenLearner']
