from .channel_wise_loss import ChannelWiseLoss

__all__ = ['ChannelWiseLoss']
