"""Token files as stage 1 leaves them."""

import torch
from torch import nn

from mmdistill_dense.models.tokens import ReceptiveTokens, write_tokens


def save_tokens(path, *channels, num_tokens=3, seed=0, **settings):
    """Write tokens of one level for each number of channels."""
    torch.manual_seed(seed)
    settings = dict(num_tokens=num_tokens, init_std=0.5, **settings)
    modules = nn.ModuleList(ReceptiveTokens(c, **settings) for c in channels)
    write_tokens(str(path), modules, {})
    return str(path)
