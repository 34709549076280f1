"""Hooks of MMEngine's Runner."""

from .non_finite_loss_hook import NonFiniteLossHook
from .resumable_checkpoint_hook import ResumableCheckpointHook
from .term_balance_hook import TermBalanceHook

__all__ = ['NonFiniteLossHook', 'ResumableCheckpointHook', 'TermBalanceHook']
