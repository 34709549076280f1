"""RoI heads: running their box heads on given RoIs.

A RoI is a row (image in the batch, x1, y1, x2, y2) of a tensor (R, 5), in
pixels of the batch, which is the same for both models.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

#: The only part of a RoI head with one row per given RoI.
_BOX_HEAD = re.compile(r'roi_head\.bbox_head(\.\d+)?(\.|$)')


def is_per_roi(path: str) -> bool:
    """Whether a module returns one row per RoI instead of per image."""
    return _BOX_HEAD.match(path) is not None


def roi_extractor_of(path: str) -> str:
    """Path of the RoI extractor that pools the RoIs of a box head.

    Example:
        >>> roi_extractor_of('roi_head.bbox_head.2.fc_reg')
        'roi_head.bbox_roi_extractor.2'
    """
    return f'roi_head.bbox_roi_extractor{_BOX_HEAD.match(path)[1] or ""}'


def are_per_roi(paths: Sequence[str]) -> bool:
    """Whether the modules of a term return one row per RoI.

    Raises:
        ValueError: If some do and others do not.
    """
    inside = [path for path in paths if is_per_roi(path)]
    if inside and len(inside) < len(paths):
        raise ValueError(
            f'{", ".join(paths)} are not of one kind: {", ".join(inside)} '
            'returns a row per RoI, the rest maps. Use two terms.'
        )
    return bool(inside)


def find_rois(inputs: Iterable[Tensor]) -> Tensor:
    """The RoIs (R, 5) among the inputs of a RoI extractor.

    Those of its first call: a mask head that shares the extractor runs after
    the box head.
    """
    return next(x for x in inputs if x.ndim == 2 and x.shape[1] == 5).detach()


def concat_rois(rois: Mapping[str, Tensor]) -> tuple[Tensor | None, dict]:
    """Concatenate RoIs, and return the rows of each name.

    Args:
        rois: RoIs (R, 5) by name; a tensor that occurs several times is
            included once.

    Returns:
        All RoIs, ``None`` without any; the slice of rows of each name.
    """
    parts: dict[int, Tensor] = {}
    slices: dict[int, slice] = {}
    for part in rois.values():
        start = sum(map(len, parts.values()))
        if id(part) not in parts:
            parts[id(part)] = part
            slices[id(part)] = slice(start, start + len(part))
    rows = {name: slices[id(part)] for name, part in rois.items()}
    return torch.cat([*parts.values()]) if parts else None, rows


def whole_image_rois(inputs: Tensor) -> Tensor:
    """One RoI per image (N, C, H, W), which covers the image: (N, 5)."""
    height, width = inputs.shape[-2:]
    rois = inputs.new_tensor([0, 0, 0, width, height]).repeat(len(inputs), 1)
    rois[:, 0] = torch.arange(len(inputs))
    return rois


def needs_rois(model: nn.Module, paths: Iterable[str]) -> bool:
    """Whether a box head is recorded.

    Args:
        model: A stock model.
        paths: Names of its modules that are recorded.

    Raises:
        ValueError: If another part of a RoI head is recorded, whose RoIs
            differ between models, or if the box head needs more than RoIs.
    """
    paths = list(paths)
    for path in paths:
        if path.split('.')[0] == 'roi_head' and not is_per_roi(path):
            raise ValueError(
                f'{path!r} cannot be recorded: of a RoI head only modules '
                'of its bbox_head can be compared, as student and teacher '
                'get the same RoIs there. Record a module of '
                'roi_head.bbox_head, or maps: neck, backbone.'
            )
    per_roi = any(map(is_per_roi, paths))
    return per_roi and bool(_box_heads(model.roi_head))


def run_box_heads(model: nn.Module, maps: tuple, rois: Tensor) -> None:
    """Pool RoIs and run the box head on them; all stages of a cascade.

    Args:
        model: A stock two-stage detector.
        maps: Result of its ``extract_feat``.
        rois: RoIs (R, 5); each stage gets the same ones.
    """
    for run in _box_heads(model.roi_head):
        run(maps, rois)


def _box_heads(head: nn.Module) -> list[Callable]:
    """The host's functions of maps and RoIs, one per stage."""
    parameters = list(inspect.signature(head._bbox_forward).parameters)
    cascade = isinstance(head.bbox_head, nn.ModuleList)
    expected = ['stage', 'x', 'rois'] if cascade else ['x', 'rois']
    if parameters != expected:
        raise ValueError(
            f'{type(head).__name__} cannot run on given RoIs: '
            f'its box head takes {parameters}, expected {expected}. Record '
            'maps instead: neck, backbone.'
        )
    if not cascade:
        return [head._bbox_forward]
    return [partial(head._bbox_forward, k) for k in range(len(head.bbox_head))]
