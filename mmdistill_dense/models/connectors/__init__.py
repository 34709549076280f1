from .conv import ConvConnector, Identity
from .masked_generator import MaskedGenerator
from .mlp import MLPConnector
from .norm import NormConnector
from .statistics import StatisticsConnector

__all__ = [
    'ConvConnector',
    'Identity',
    'MLPConnector',
    'MaskedGenerator',
    'NormConnector',
    'StatisticsConnector',
]
