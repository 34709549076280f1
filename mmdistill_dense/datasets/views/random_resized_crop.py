"""A crop of random size and aspect ratio, resized to a fixed size."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.registry import TRANSFORMS

from .geometry import crop_box

#: Attempts before the largest centred crop is used, as in torchvision.
ATTEMPTS = 10


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Crop a random part of the image and resize it, as torchvision does.

    Interpolation is by area if both sides shrink, and bicubic otherwise, so a
    side that shrinks while the other one grows may alias.
    Changes ``img`` and ``img_shape`` and adds ``view_box``.

    Args:
        size: Height and width of the result, in pixels; one number for a
            square.
        scale: Smallest and largest area of the crop, relative to the image.
        ratio: Smallest and largest ratio of the crop's width to its height.

    Raises:
        ValueError: If an argument is out of its range.
    """

    tracks_view_box = True

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
    ) -> None:
        pair = (size, size) if isinstance(size, int) else tuple(size)
        if len(pair) != 2:
            raise ValueError(
                'RandomResizedCrop: size must be a height and a width in '
                f'pixels, or one number for both, got {size!r}.'
            )
        for side in pair:
            check_int('RandomResizedCrop: each side of size', side, 1)
        if not (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
            raise ValueError(
                'RandomResizedCrop: scale must be the smallest and largest '
                f'share of the area, above 0 and up to 1, got {scale!r}.'
            )
        if not (len(ratio) == 2 and 0 < ratio[0] <= ratio[1] < math.inf):
            raise ValueError(
                'RandomResizedCrop: ratio must be the smallest and largest '
                f'width divided by height, above 0, got {ratio!r}.'
            )
        self.size, self.scale, self.ratio = pair, tuple(scale), tuple(ratio)

    def transform(self, results: dict) -> dict:
        img = results['img']
        left, top, width, height = self.get_params(*img.shape[:2])
        results['view_box'] = crop_box(results, left, top, width, height)
        part = img[top : top + height, left : left + width]
        results['img'] = _resize(part, *self.size)
        results['img_shape'] = self.size
        return results

    def get_params(self, rows: int, columns: int) -> tuple[int, int, int, int]:
        """Draw left, top, width and height of a crop, in pixels."""
        low, high = np.log(self.ratio)
        for _ in range(ATTEMPTS):
            area = rows * columns * np.random.uniform(*self.scale)
            shape = math.exp(np.random.uniform(low, high))
            width = round(math.sqrt(area * shape))
            height = round(math.sqrt(area / shape))
            if 0 < width <= columns and 0 < height <= rows:
                left = np.random.randint(0, columns - width + 1)
                top = np.random.randint(0, rows - height + 1)
                return left, top, width, height
        return self._centre_crop(rows, columns)

    def _centre_crop(
        self, rows: int, columns: int
    ) -> tuple[int, int, int, int]:
        """The largest centred crop within ``ratio``."""
        shape = min(max(columns / rows, self.ratio[0]), self.ratio[1])
        width = max(1, min(columns, round(rows * shape)))
        height = max(1, min(rows, round(columns / shape)))
        return (columns - width) // 2, (rows - height) // 2, width, height


def _resize(part: np.ndarray, rows: int, columns: int) -> np.ndarray:
    shrinks = rows <= part.shape[0] and columns <= part.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(part, (columns, rows), interpolation=interpolation)
