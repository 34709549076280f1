"""Where a view lies in the image that was read."""

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


def cropped(
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
