"""Type of a host's model, and the log keys of its losses."""

from torch import nn


def is_distillable(model: nn.Module) -> bool:
    """Whether it is a stock detector or segmentor."""
    return hasattr(model, 'extract_feat')


def is_segmentor(model: nn.Module) -> bool:
    """Whether it is a segmentor of mmseg, not a detector of mmdet."""
    return hasattr(model, 'decode_head')


def is_semi_supervised(model: nn.Module) -> bool:
    """Whether it holds a student and a teacher of its own, as SoftTeacher."""
    children = dict(model.named_children())
    return 'student' in children and 'teacher' in children


def loss_keys(model: nn.Module) -> set[str]:
    """Log keys of a model's losses, derived from the names of its modules.

    A two-stage detector logs those of its RPN as ``loss_rpn_*``.
    """
    names = {path.rpartition('.')[2] for path, _ in model.named_modules()}
    keys = {name for name in names if name.startswith('loss')}
    if hasattr(model, 'rpn_head'):
        keys |= {key.replace('loss_', 'loss_rpn_') for key in keys}
    return keys
