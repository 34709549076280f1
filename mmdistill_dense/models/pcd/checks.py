"""Checks of a pre-training model: errors and warnings."""

import logging

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def check_unused_parameters(model: nn.Module, loss: Tensor) -> None:
    """Check that a loss depends on every parameter that is trained.

    Otherwise data parallel training stops in its second step, and names the
    parameters by number only.

    Raises:
        RuntimeError: If a parameter gets no gradient.
    """
    if not torch.is_grad_enabled():
        return
    reached, has_hidden = graph_leaves(loss)
    unused = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and id(parameter) not in reached
    ]
    if unused and not has_hidden:
        raise RuntimeError(
            f'{len(unused)} parameters get no gradient: '
            f'{", ".join(unused[:4])}{", ..." if unused[4:] else ""}. Usual '
            'cause: a backbone that computes more than its last map, such '
            'as several out_indices with a norm each. Set out_indices to the '
            'last map only.'
        )


def warn_of_frozen_parts(backbone: nn.Module) -> None:
    """Warn if parts of the student are frozen although it is trained."""
    frozen = [n for n, p in backbone.named_parameters() if not p.requires_grad]
    in_eval = [
        name
        for name, module in backbone.named_modules()
        if isinstance(module, _BatchNorm) and not module.training
    ]
    remedies = (
        ('parameters are frozen', 'frozen_stages=-1', frozen),
        ('batch norms are in eval mode', 'norm_eval=False', in_eval),
    )
    for what, remedy, names in remedies:
        if names:
            print_log(
                f'{len(names)} {what} in the student that is pre-trained: '
                f'{", ".join(names[:3])}{", ..." if names[3:] else ""}. In a '
                'backbone from scratch they keep their random values. Set '
                f'backbone.{remedy}, unless this is intended.',
                logger='current',
                level=logging.WARNING,
            )


def graph_leaves(value: Tensor) -> tuple[set[int], bool]:
    """Ids of the leaf tensors of a graph, and whether some are hidden.

    Re-entrant activation checkpoints (``with_cp``) hide the tensors in them.
    """
    pending, seen = [value.grad_fn], set()
    leaf_ids: set[int] = set()
    has_hidden = False
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        has_hidden |= 'CheckpointFunction' in node.name()
        if hasattr(node, 'variable'):
            leaf_ids.add(id(node.variable))
        pending += [parent for parent, _ in node.next_functions]
    return leaf_ids, has_hidden
