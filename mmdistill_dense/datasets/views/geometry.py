"""Where a view lies in the image that was read."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

#: In the names of transforms that move pixels and do not say where to.
UNTRACKED_NAMES = (
    'Affine',
    'Albu',
    'Crop',
    'Elastic',
    'Expand',
    'FixShapeResize',
    'Mosaic',
    'Pad',
    'Perspective',
    'RandomShift',
    'Rot',
    'Shear',
    'Translate',
)

#: Left, top, right, bottom, in pixels of the image that was read.
Box = tuple[float, float, float, float]


def view_box(results: dict) -> Box:
    """The view's box so far: the whole image, until something crops it."""
    height, width = results['ori_shape'][:2]
    return results.get('view_box', (0.0, 0.0, float(width), float(height)))


def is_flipped(results: dict) -> bool:
    """Whether the view is mirrored left to right.

    Raises:
        ValueError: If it was flipped in another direction.
    """
    flipped = bool(results.get('flip', False))
    direction = results.get('flip_direction')
    if flipped and direction not in (None, 'horizontal'):
        raise ValueError(
            f'a view was flipped in the direction {direction!r}, but only '
            "horizontal flips are kept track of: use direction='horizontal' "
            'in RandomFlip.'
        )
    return flipped


def crop_box(
    results: dict, left: int, top: int, width: int, height: int
) -> Box:
    """The view's box after a crop of the present picture.

    Args:
        results: Of a pipeline; the picture may be resized, cropped and
            mirrored already.
        left, top, width, height: The crop, in pixels of ``results['img']``.
    """
    rows, columns = results['img'].shape[:2]
    if is_flipped(results):
        left = columns - left - width
    x0, y0, x1, y1 = view_box(results)
    across, down = (x1 - x0) / columns, (y1 - y0) / rows
    return (
        x0 + left * across,
        y0 + top * down,
        x0 + (left + width) * across,
        y0 + (top + height) * down,
    )


def check_tracked(pipeline: Iterable[Callable]) -> None:
    """Refuse what would make a view's box or flip wrong.

    A transform that crops and has ``tracks_view_box = True`` keeps
    ``view_box`` itself.

    Args:
        pipeline: The transforms of one view, built.

    Raises:
        ValueError: If one moves pixels without a trace, or two flip.
    """
    flips = []
    for transform in _flatten(pipeline):
        name = type(transform).__name__
        tracked = getattr(transform, 'tracks_view_box', False)
        if not tracked and _name_contains(transform, *UNTRACKED_NAMES):
            raise ValueError(
                f'MultiView: {name} moves pixels and does not say where to, '
                'so the box of the view would be wrong. Use '
                'mmdistill_dense.RandomResizedCrop, Resize and a horizontal '
                'RandomFlip instead.'
            )
        if _name_contains(transform, 'Flip'):
            flips.append(name)
    if len(flips) > 1:
        raise ValueError(
            f'MultiView: one view has {len(flips)} flips '
            f'({", ".join(flips)}), but only one is kept track of. Leave '
            'one of them.'
        )


def _flatten(transforms: Iterable[Callable]) -> Iterator[Callable]:
    """Each transform, those inside of RandomApply and the like too."""
    for transform in transforms:
        yield transform
        yield from _flatten(getattr(transform, 'transforms', ()))


def _name_contains(transform: Callable, *words: str) -> bool:
    """Whether its class, or one it comes from, has a word in its name."""
    names = ' '.join(kind.__name__ for kind in type(transform).__mro__)
    return any(word in names for word in words)


def check_unmodified(results: dict) -> None:
    """Refuse an image of which it is not known how it came about.

    Raises:
        ValueError: If it was flipped, cropped or padded since it was read.
    """
    if 'flip' in results:
        raise ValueError(
            'MultiView: a flip comes before it in the pipeline, which the '
            'views would forget. Put RandomFlip into each of its transforms.'
        )
    if 'view_box' in results:
        return
    scale = np.broadcast_to(results.get('scale_factor', 1.0), 2)[::-1]
    shape, read = results['img'].shape[:2], tuple(results['ori_shape'][:2])
    if np.abs(shape - read * scale).max() > 1:
        raise ValueError(
            f'MultiView: the image is {shape} (height, width), and was '
            f'{read} when it was read: what came between is neither one '
            'Resize nor mmdistill_dense.RandomResizedCrop, so nobody knows '
            'where the views lie. Take it out of the pipeline.'
        )
