"""Receptive tokens: the module of one level, and its files."""

from .files import TokenFile, check_fit, check_same, read_tokens, write_tokens
from .receptive import ReceptiveTokens

__all__ = [
    'ReceptiveTokens',
    'TokenFile',
    'check_fit',
    'check_same',
    'read_tokens',
    'write_tokens',
]
