"""Classifiers of the hosts' heads, and what their channels are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

# A layer of the head, or of lists of layers; not a layer of a tower's blocks.
_LAYER = re.compile(r'\w+(\.\d+){0,2}')


@dataclass(frozen=True)
class ClassScores:
    """Channels of a classifier: all classes of a prior, prior by prior.

    Args:
        classes: Scores of one prior, with the background's if there is one.
        priors: Priors (anchors) per position; 1 in a segmentor or box head.
    """

    classes: int
    priors: int = 1

    def split_priors(self, scores: Tensor) -> Tensor:
        """Move priors to the batch: (N, A C, H, W) -> (N A, C, H, W)."""
        return scores.unflatten(1, (self.priors, -1)).flatten(0, 1)


def class_scores(model: nn.Module, path: str) -> ClassScores | None:
    """What the channels of a module's output are, if it is a classifier.

    Args:
        model: A stock detector or segmentor.
        path: Name of one of its modules.

    Returns:
        ``None`` for any other module.
    """
    parts = path.split('.')
    module = model.get_submodule(path)
    for depth in range(1, len(parts)):
        head = model.get_submodule('.'.join(parts[:depth]))
        layer = '.'.join(parts[depth:])
        if layer == 'conv_seg' and isinstance(module, nn.Conv2d):
            return ClassScores(module.out_channels)
        if layer == 'fc_cls' and isinstance(module, nn.Linear):
            return ClassScores(module.out_features)
        if layer in dense_classifiers(head):
            classes = head.cls_out_channels
            return ClassScores(classes, module.out_channels // classes)
    return None


def dense_classifiers(head: Any) -> list[str]:
    """Names of the convolutions that compute a dense head's class scores."""
    if getattr(head, 'cls_out_channels', None) is None:
        return []
    return [
        name
        for name, module in head.named_modules()
        if isinstance(module, nn.Conv2d)
        and 'cls' in name
        and module.out_channels in _score_counts(head)
        and _LAYER.fullmatch(name)
    ]


def _score_counts(head: Any) -> Iterator[int]:
    """Possible numbers of scores per position; SSD's differ by level."""
    priors = getattr(head, 'num_base_priors', 1)
    for count in priors if isinstance(priors, (list, tuple)) else [priors]:
        yield count * head.cls_out_channels
