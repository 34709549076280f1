"""Short names in ``at``: ``'logits'``, ``'neck'`` and ``'backbone'``."""

from torch import nn

from .classifiers import dense_classifiers
from .kinds import is_segmentor, is_semi_supervised


def expand_alias(path: str, model: nn.Module) -> str:
    """Expand ``'logits'`` to module paths; other paths stay as they are.

    In a segmentor it is the 1x1 classifier of the (last) decode head,
    before upsampling; in a detector with a dense head the convolution that
    computes the class scores of all levels.

    Raises:
        ValueError: If the model has no such module, no neck, or two of each.
    """
    name = path.partition('.')[0]
    if is_semi_supervised(model) and name in ('backbone', 'neck', 'logits'):
        raise ValueError(
            f'{type(model).__name__} is semi-supervised and holds two '
            f"detectors, of which {path!r} names neither. Write 'teacher.' "
            'before the name of a module.'
        )
    if name == 'neck' and getattr(model, 'neck', None) is None:
        raise ValueError(
            f'{type(model).__name__} has no neck for {path!r}. Record its '
            "'backbone', with at=dict(student=..., teacher=...) where only "
            'one of the two models has a neck.'
        )
    if path != 'logits':
        return path
    if is_segmentor(model):
        expanded = _segmentor_logits(model.decode_head)
    else:
        expanded = _detector_logits(model)
    if expanded is None:
        raise ValueError(
            f"{type(model).__name__} has no module that at='logits' could "
            'stand for (conv_seg of a decode head, or the classification '
            "convolution of a dense bbox_head). Name a module, or use 'neck' "
            "or 'backbone'."
        )
    return expanded


def _segmentor_logits(head: nn.Module) -> str | None:
    path = 'decode_head'
    if isinstance(head, nn.ModuleList):
        path, head = f'{path}.{len(head) - 1}', head[-1]
    return f'{path}.conv_seg' if hasattr(head, 'conv_seg') else None


def _detector_logits(model: nn.Module) -> str | None:
    names = dense_classifiers(getattr(model, 'bbox_head', None))
    return f'bbox_head.{{{",".join(names)}}}' if names else None
