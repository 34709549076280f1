"""Token files as stage 1 leaves them."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from mmdistill_dense.models.maskd.receptive_tokens import ReceptiveTokens
from mmdistill_dense.models.maskd.token_files import write_tokens


def save_tokens(path, *channels, num_tokens=3, seed=0, **settings):
    """Write tokens of one level for each number of channels."""
    torch.manual_seed(seed)
    settings = dict(num_tokens=num_tokens, init_std=0.5, **settings)
    modules = nn.ModuleList(ReceptiveTokens(c, **settings) for c in channels)
    write_tokens(str(path), modules, {})
    return str(path)


def official():
    """What the authors' modules were run on, drawn in this order, float64.

    Returns:
        Maps ``student`` and ``teacher`` (2, 4, 3, 5), and ``level``: three
        tokens and their weighting net, under the official names.
    """
    rs = np.random.RandomState(0)

    def randn(*shape):
        return torch.from_numpy(rs.randn(*shape))

    student, teacher = randn(2, 4, 3, 5), randn(2, 4, 3, 5)
    level = {
        'mask_token': randn(3, 4),
        'prob.0.weight': 0.1 * randn(4, 4, 3, 3),
        'prob.0.bias': torch.zeros(4).double(),
        'prob.2.weight': randn(3, 4, 1, 1),
        'prob.2.bias': torch.zeros(3).double(),
    }
    return SimpleNamespace(student=student, teacher=teacher, level=level)
