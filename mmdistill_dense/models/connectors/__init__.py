from .conv import ConvConnector, Identity

__all__ = ['ConvConnector', 'Identity']
