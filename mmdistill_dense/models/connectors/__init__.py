from .conv import ConvConnector
from .pixel_attention import PixelAttention
from .pixel_head import PixelHead

__all__ = ['ConvConnector', 'PixelAttention', 'PixelHead']
