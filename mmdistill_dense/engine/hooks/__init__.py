"""Hooks of MMEngine's Runner."""

from .mask_visualization_hook import MaskVisualizationHook
from .term_balance_hook import TermBalanceHook
from .token_file_hook import TokenFileHook

__all__ = ['MaskVisualizationHook', 'TermBalanceHook', 'TokenFileHook']
