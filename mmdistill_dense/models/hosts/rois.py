"""What is known of RoI heads: their box heads, asked about given RoIs.

A RoI is a row (image in the batch, x1, y1, x2, y2) of a tensor (R, 5), in
pixels of the batch, as both models see it.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

#: The one part of a RoI head whose rows are those of given RoIs.
_BOX_HEAD = re.compile(r'roi_head\.bbox_head(\.\d+)?(\.|$)')


def is_per_roi(path: str) -> bool:
    """Whether a module gives one row per RoI instead of per image."""
    return _BOX_HEAD.match(path) is not None


def roi_extractor_of(path: str) -> str:
    """The module that takes in the RoIs which a box head is given.

    Example:
        >>> roi_extractor_of('roi_head.bbox_head.2.fc_reg')
        'roi_head.bbox_roi_extractor.2'
    """
    return f'roi_head.bbox_roi_extractor{_BOX_HEAD.match(path)[1] or ""}'


def are_per_roi(paths: Sequence[str]) -> bool:
    """Whether what one term records of a model is one row per RoI.

    Raises:
        ValueError: If part of it is and part is not.
    """
    inside = [path for path in paths if is_per_roi(path)]
    if inside and len(inside) < len(paths):
        raise ValueError(
            f'{", ".join(paths)} are not of one kind: {", ".join(inside)} '
            'gives a row per RoI, the rest maps. Make two terms of it.'
        )
    return bool(inside)


def find_rois(taken: Iterable[Tensor]) -> Tensor:
    """The RoIs (R, 5) among what an extractor has taken in.

    Those of its first call: a mask head that shares the extractor comes
    after the box head.
    """
    return next(x for x in taken if x.ndim == 2 and x.shape[1] == 5).detach()


def concat_rois(rois: Mapping[str, Tensor]) -> tuple[Tensor | None, dict]:
    """All RoIs in one tensor, and which rows belong to whom.

    Args:
        rois: RoIs (R, 5) by name; those that are one tensor are taken
            in once.

    Returns:
        RoIs of all, ``None`` of nobody; a slice of their rows by name.
    """
    parts: dict[int, Tensor] = {}
    places: dict[int, slice] = {}
    for part in rois.values():
        start = sum(map(len, parts.values()))
        if id(part) not in parts:
            parts[id(part)] = part
            places[id(part)] = slice(start, start + len(part))
    rows = {name: places[id(part)] for name, part in rois.items()}
    return torch.cat([*parts.values()]) if parts else None, rows


def whole_image_rois(inputs: Tensor) -> Tensor:
    """One RoI for each image (N, 3, H, W), which covers it: (N, 5)."""
    height, width = inputs.shape[-2:]
    rois = inputs.new_tensor([0, 0, 0, width, height]).repeat(len(inputs), 1)
    rois[:, 0] = torch.arange(len(inputs))
    return rois


def needs_rois(model: nn.Module, paths: Iterable[str]) -> bool:
    """Whether a box head is among what is recorded.

    Args:
        model: A stock model.
        paths: Names of its modules that are recorded.

    Raises:
        ValueError: If another part of a RoI head is, which sees RoIs of
            its own in each model, or if the box head needs more than them.
    """
    paths = list(paths)
    for path in paths:
        if path.split('.')[0] == 'roi_head' and not is_per_roi(path):
            raise ValueError(
                f'{path!r} cannot be recorded: of a RoI head only what lies '
                'in its bbox_head is compared, where student and teacher '
                'are given the same RoIs. Record a module of '
                'roi_head.bbox_head, or maps: neck, backbone.'
            )
    per_roi = any(map(is_per_roi, paths))
    return per_roi and bool(_box_heads(model.roi_head))


def run_box_heads(model: nn.Module, maps: tuple, rois: Tensor) -> None:
    """Pool RoIs and run the box head on them, of a cascade every stage.

    Args:
        model: A stock two-stage detector.
        maps: What its ``extract_feat`` gives.
        rois: RoIs (R, 5); each stage gets these very ones.
    """
    for run in _box_heads(model.roi_head):
        run(maps, rois)


def _box_heads(head: nn.Module) -> list[Callable]:
    """Functions of maps and RoIs, the host's own, one per stage."""
    takes = list(inspect.signature(head._bbox_forward).parameters)
    cascade = isinstance(head.bbox_head, nn.ModuleList)
    expected = ['stage', 'x', 'rois'] if cascade else ['x', 'rois']
    if takes != expected:
        raise ValueError(
            f'{type(head).__name__} cannot be asked about given RoIs: '
            f'its box head takes {takes}, expected {expected}. Record maps '
            'instead: neck, backbone.'
        )
    if not cascade:
        return [head._bbox_forward]
    return [partial(head._bbox_forward, k) for k in range(len(head.bbox_head))]
