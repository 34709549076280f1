"""Hooks of MMEngine's Runner."""

from .term_balance_hook import TermBalanceHook

__all__ = ['TermBalanceHook']
