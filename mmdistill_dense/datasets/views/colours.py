"""Changes of colour and sharpness, on BGR uint8 images (H, W, 3).

They match the transforms of the same names in torchvision on PIL images, and
work on BGR directly with OpenCV.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmdistill_dense.registry import TRANSFORMS


class ColourTransform(BaseTransform):
    """Base of transforms that change ``img`` with a probability.

    Args:
        prob: Probability of a change, 0 to 1.

    Raises:
        ValueError: If ``prob`` is not between 0 and 1.
        TypeError: In use, if the image is not uint8 with three channels.
    """

    def __init__(self, prob: float) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(
                f'{type(self).__name__}: prob must be a probability from 0 '
                f'to 1, got {prob!r}.'
            )
        self.prob = prob

    def transform(self, results: dict) -> dict:
        img = results['img']
        if img.dtype != np.uint8 or img.shape[2:] != (3,):
            raise TypeError(
                f'{type(self).__name__}: expected an image of shape (H, W, 3) '
                f'and type uint8, got {img.shape} and {img.dtype}. Read it '
                'with LoadImageFromFile and its default settings.'
            )
        if np.random.rand() < self.prob:
            results['img'] = self.change(img)
        return results

    def change(self, img: np.ndarray) -> np.ndarray:
        """Return the changed image; the input is not modified."""
        raise NotImplementedError


@TRANSFORMS.register_module()
class ColorJitter(ColourTransform):
    """Change brightness, contrast, saturation and hue, in random order.

    Each of the first three is multiplied by U(max(0, 1 - x), 1 + x), and the
    hue is rotated by U(-hue, hue) of a full turn.

    Args:
        brightness, contrast, saturation: The x of each, at least 0.
        hue: Largest rotation, 0 to 0.5.
        prob: Probability of a change, 0 to 1.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        prob: float = 0.8,
    ) -> None:
        super().__init__(prob)
        spans = (brightness, contrast, saturation)
        if min(spans) < 0 or not 0 <= hue <= 0.5:
            raise ValueError(
                'ColorJitter: brightness, contrast and saturation must be '
                'at least 0 and hue between 0 and 0.5, got '
                f'{(*spans, hue)}.'
            )
        self.spans, self.hue = spans, hue

    def change(self, img: np.ndarray) -> np.ndarray:
        factors = [
            np.random.uniform(max(0, 1 - span), 1 + span)
            for span in self.spans
        ]
        turn = np.random.uniform(-self.hue, self.hue)
        steps = (brighten, contrast, saturate, turn_hue)
        values = (*factors, turn)
        for i in np.random.permutation(len(steps)):
            img = steps[i](img, values[i])
        return img


def brighten(img: np.ndarray, factor: float) -> np.ndarray:
    return cv2.addWeighted(img, factor, img, 0, 0)


def contrast(img: np.ndarray, factor: float) -> np.ndarray:
    """Scale the distance to the mean grey of the image."""
    grey = round(cv2.mean(cv2.cvtColor(img, cv2.COLOR_BGR2GRAY))[0])
    return cv2.addWeighted(img, factor, img, 0, (1 - factor) * grey)


def saturate(img: np.ndarray, factor: float) -> np.ndarray:
    return cv2.addWeighted(img, factor, greyed(img), 1 - factor, 0)


def greyed(img: np.ndarray) -> np.ndarray:
    """Grey in three channels: 0.299 R + 0.587 G + 0.114 B."""
    grey = cv2.cvtColor(img, cv2.COLOR_BGR2GRAY)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def turn_hue(img: np.ndarray, turn: float) -> np.ndarray:
    """Rotate the hue; 1 is a full turn."""
    hsv = cv2.cvtColor(img, cv2.COLOR_BGR2HSV_FULL)
    # 256 levels are a full turn, so uint8 wraps around as hues do.
    hsv[..., 0] += np.uint8(int(turn * 255) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)


@TRANSFORMS.register_module()
class RandomGrayscale(ColourTransform):
    """Convert to grey in three channels, with a probability.

    Args:
        prob: Probability of a change, 0 to 1.
    """

    def __init__(self, prob: float = 0.2) -> None:
        super().__init__(prob)

    def change(self, img: np.ndarray) -> np.ndarray:
        return greyed(img)


@TRANSFORMS.register_module()
class GaussianBlur(ColourTransform):
    """Blur with a Gaussian of random width.

    Args:
        sigma: Smallest and largest standard deviation, in pixels, above 0.
        prob: Probability of a change, 0 to 1.
    """

    def __init__(
        self, sigma: Sequence[float] = (0.1, 2.0), prob: float = 0.5
    ) -> None:
        super().__init__(prob)
        if not (len(sigma) == 2 and 0 < sigma[0] <= sigma[1]):
            raise ValueError(
                'GaussianBlur: sigma must be the smallest and the largest '
                f'standard deviation in pixels, above 0, got {sigma!r}.'
            )
        self.sigma = tuple(sigma)

    def change(self, img: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(img, (0, 0), np.random.uniform(*self.sigma))


@TRANSFORMS.register_module()
class Solarize(ColourTransform):
    """Invert every value of ``thr`` and above.

    Args:
        thr: Smallest value that is inverted, 0 to 256.
        prob: Probability of a change, 0 to 1.
    """

    def __init__(self, thr: int = 128, prob: float = 0.2) -> None:
        super().__init__(prob)
        if not 0 <= thr <= 256:
            raise ValueError(
                f'Solarize: thr must be between 0 and 256, got {thr!r}.'
            )
        levels = np.arange(256, dtype=np.uint8)
        self.table = np.where(levels < thr, levels, 255 - levels)

    def change(self, img: np.ndarray) -> np.ndarray:
        return cv2.LUT(img, self.table)
