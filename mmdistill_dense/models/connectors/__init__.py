from .conv import ConvConnector

__all__ = ['ConvConnector']
