"""What a pre-training refuses, or warns of."""

import logging

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def check_reached(model: nn.Module, loss: Tensor) -> None:
    """Check that a loss depends on every parameter that is trained.

    Else data parallel training would stop in its second step, and name
    parameters by numbers only.

    Raises:
        RuntimeError: If one is not reached.
    """
    if not torch.is_grad_enabled():
        return
    reached, hidden = leaves(loss)
    unused = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and id(parameter) not in reached
    ]
    if unused and not hidden:
        raise RuntimeError(
            f'{len(unused)} parameters get no gradient: '
            f'{", ".join(unused[:4])}{", ..." if unused[4:] else ""}. Usual '
            'cause: a backbone that computes more than its last map, such '
            'as several out_indices with a norm each. Ask it for the last '
            'map only.'
        )


def warn_of_fixed_parts(backbone: nn.Module) -> None:
    """Say that something of a student in training does not learn."""
    fixed = [n for n, p in backbone.named_parameters() if not p.requires_grad]
    resting = [
        name
        for name, module in backbone.named_modules()
        if isinstance(module, _BatchNorm) and not module.training
    ]
    remedies = (
        ('parameters are frozen', 'frozen_stages=-1', fixed),
        ('batch norms are in eval mode', 'norm_eval=False', resting),
    )
    for what, remedy, names in remedies:
        if names:
            print_log(
                f'{len(names)} {what} in the student that is pre-trained: '
                f'{", ".join(names[:3])}{", ..." if names[3:] else ""}. Of a '
                'backbone from scratch they stay as they were drawn. Set '
                f'backbone.{remedy}, unless it is meant.',
                logger='current',
                level=logging.WARNING,
            )


def leaves(value: Tensor) -> tuple[set[int], bool]:
    """Ids of the leaf tensors of a graph, and whether it hides some.

    Re-entrant activation checkpoints (``with_cp``) hide what is in them.
    """
    waiting, seen = [value.grad_fn], set()
    found: set[int] = set()
    hidden = False
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        hidden |= 'CheckpointFunction' in node.name()
        if hasattr(node, 'variable'):
            found.add(id(node.variable))
        waiting += [parent for parent, _ in node.next_functions]
    return found, hidden
