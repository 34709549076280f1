"""Tracks the position of a view in the original image."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

#: In the names of transforms that move pixels without recording it.
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

#: Left, top, right, bottom, in pixels of the original image.
Box = tuple[float, float, float, float]


def view_box(results: dict) -> Box:
    """Current box of the view; the whole image before the first crop."""
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
            "horizontal flips are tracked: use direction='horizontal' "
            'in RandomFlip.'
        )
    return flipped


def crop_box(
    results: dict, left: int, top: int, width: int, height: int
) -> Box:
    """Box of the view after a crop of the current image.

    Args:
        results: Results of the pipeline; the image may be resized, cropped
            and mirrored already.
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
    """Refuse transforms that would make a view's box or flip wrong.

    A transform that crops and has ``tracks_view_box = True`` updates
    ``view_box`` itself.

    Args:
        pipeline: The transforms of one view, built.

    Raises:
        ValueError: If one moves pixels without recording it, or two flip.
    """
    flips = []
    for transform in _flatten(pipeline):
        name = type(transform).__name__
        tracked = getattr(transform, 'tracks_view_box', False)
        if not tracked and _name_contains(transform, *UNTRACKED_NAMES):
            raise ValueError(
                f'MultiView: {name} moves pixels without recording it, '
                'so the box of the view would be wrong. Use '
                'mmdistill_dense.RandomResizedCrop, Resize and a horizontal '
                'RandomFlip instead.'
            )
        if _name_contains(transform, 'Flip'):
            flips.append(name)
    if len(flips) > 1:
        raise ValueError(
            f'MultiView: one view has {len(flips)} flips '
            f'({", ".join(flips)}), but only one is tracked. Remove '
            'the others.'
        )


def _flatten(transforms: Iterable[Callable]) -> Iterator[Callable]:
    """Each transform, with those inside RandomApply and the like."""
    for transform in transforms:
        yield transform
        yield from _flatten(getattr(transform, 'transforms', ()))


def _name_contains(transform: Callable, *words: str) -> bool:
    """Whether the name of its class, or of a base class, has a word."""
    names = ' '.join(kind.__name__ for kind in type(transform).__mro__)
    return any(word in names for word in words)


def check_unmodified(results: dict) -> None:
    """Refuse an image that was changed in a way that is not tracked.

    Raises:
        ValueError: If it was flipped, cropped or padded after reading.
    """
    if 'flip' in results:
        raise ValueError(
            'MultiView: a flip comes before it in the pipeline, which the '
            'views would not record. Put RandomFlip into each of its '
            'transforms.'
        )
    if 'view_box' in results:
        return
    scale = np.broadcast_to(results.get('scale_factor', 1.0), 2)[::-1]
    shape, read = results['img'].shape[:2], tuple(results['ori_shape'][:2])
    if np.abs(shape - read * scale).max() > 1:
        raise ValueError(
            f'MultiView: the image is {shape} (height, width), and was '
            f'{read} when it was read: the transforms between are neither '
            'one Resize nor mmdistill_dense.RandomResizedCrop, so the '
            'position of the views is unknown. Remove them.'
        )
