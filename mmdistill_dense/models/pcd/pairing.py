"""Pairs the cells of two views of an image."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, grid_sample

#: A student's map, its target, and a mask of valid cells (or None).
Pair = tuple[Tensor, Tensor, Tensor | None]
PAIRINGS = ('cross', 'same', 'aligned')


def pair_views(
    pairing: str,
    students: Sequence[Tensor],
    teachers: Sequence[Tensor],
    data_samples: Sequence,
) -> list[Pair]:
    """Pair each student map with the teacher map that it learns from.

    Args:
        pairing: ``'cross'``: cells of the same index in the other view;
            ``'same'``: the same cells of the same view; ``'aligned'``: the
            same position of the image in the other view.
        students: The student's maps of the two views, (N, C, H, W) each.
        teachers: The teacher's maps, of any grid.
        data_samples: Contain the geometry of the views, for ``'aligned'``.
    """
    grid = students[0].shape[-2:]
    first, second = (pool_to_grid(t, grid) for t in teachers)
    if pairing == 'same':
        return [(students[0], first, None), (students[1], second, None)]
    if pairing == 'cross':
        return [(students[0], second, None), (students[1], first, None)]
    one, two = (view_geometry(data_samples, i, first) for i in (0, 1))
    return [
        (students[0], *align(second, target=one, source=two)),
        (students[1], *align(first, target=two, source=one)),
    ]


def pool_to_grid(feature: Tensor, grid: Sequence[int]) -> Tensor:
    """Average a map over the cells of another grid."""
    if tuple(feature.shape[-2:]) == tuple(grid):
        return feature
    return adaptive_avg_pool2d(feature, tuple(grid))


def view_geometry(
    data_samples: Sequence, view: int, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) in pixels of the images, and flips (N,) of one view.

    Raises:
        ValueError: If the data samples do not have them.
    """
    try:
        views = [sample.views[view] for sample in data_samples]
        boxes = [v['box'] for v in views]
        flips = [v['flip'] for v in views]
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            "pairing='aligned' needs the crop of each view: expected "
            'data_samples with views=[dict(box=(left, top, right, bottom), '
            f'flip=...), ...], got {data_samples!r:.200}. '
            'mmdistill_dense.MultiView with PackViews writes them.'
        ) from error
    box = torch.tensor(boxes, dtype=torch.float32, device=like.device)
    return box, torch.tensor(flips, dtype=torch.bool, device=like.device)


def align(
    feature: Tensor,
    target: tuple[Tensor, Tensor],
    source: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Resample a map of one view at the cells of another view.

    The map is read bilinearly at the centre of each cell.

    Args:
        feature: Map (N, C, H, W) of the view ``source``.
        target: Boxes and flips of the view that is sampled for.
        source: Boxes and flips of the view of the map.

    Returns:
        Map (N, C, H, W), and whether each cell (N, H, W) lies inside the
        view ``source``.
    """
    height, width = feature.shape[-2:]
    # -> N,W and N,H
    x = _sample_positions(width, target, source, (0, 2), flipped=True)
    y = _sample_positions(height, target, source, (1, 3), flipped=False)
    inside = _is_inside(y)[:, :, None] & _is_inside(x)[:, None, :]  # -> N,H,W
    x = x[:, None, :].expand(-1, height, -1)
    y = y[:, :, None].expand(-1, -1, width)
    # Half precision would be off by tenths of a cell on a large grid.
    feature = feature.to(torch.promote_types(feature.dtype, x.dtype))
    where = torch.stack([x, y], dim=-1).to(feature.dtype) * 2 - 1
    sampled = grid_sample(
        feature, where, padding_mode='border', align_corners=False
    )
    return sampled, inside


def _sample_positions(
    cells: int,
    target: tuple[Tensor, Tensor],
    source: tuple[Tensor, Tensor],
    ends: tuple[int, int],
    flipped: bool,
) -> Tensor:
    """Cell centres of ``target`` in the extent of ``source``, (N, cells).

    Values in [0, 1] lie inside.
    """
    (boxes, flips), (others, other_flips) = target, source
    low, high = ends
    centres = (torch.arange(cells, device=boxes.device) + 0.5) / cells
    share = centres.expand(len(boxes), -1)
    if flipped:
        share = torch.where(flips[:, None], 1 - share, share)
    start, end = boxes[:, low, None], boxes[:, high, None]
    pixel = start + share * (end - start)
    start, end = others[:, low, None], others[:, high, None]
    share = (pixel - start) / (end - start)
    if flipped:
        share = torch.where(other_flips[:, None], 1 - share, share)
    return share


def _is_inside(share: Tensor) -> Tensor:
    return (share >= 0) & (share <= 1)
