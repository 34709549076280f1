"""Random textures for regions and things; colours do not depend on class."""

from collections.abc import Callable

import cv2
import numpy as np

#: Returns the weights (H, W) in [0, 1] that mix two colours.
Texture = Callable[[np.random.Generator, int, int], np.ndarray]
#: Saturation of the colours, from and to: things are more vivid than ground.
MUTED, VIVID = (0.0, 0.3), (0.7, 1.0)
#: Least distance of a thing's mean colour from what lies below it, in [0, 1].
CONTRAST = 0.35


def colour(
    rng: np.random.Generator, saturation: tuple[float, float]
) -> tuple[float, float, float]:
    """A random colour of any hue, three values in [0, 1]."""
    # Plain floats: NumPy takes three times as long for three numbers.
    parts = rng.random(3).tolist()
    low, span = min(parts), max(parts) - min(parts)
    bright, vivid = rng.uniform(0.35, 1), rng.uniform(*saturation)
    red, green, blue = (
        bright * (1 - vivid * (1 - (part - low) / span)) for part in parts
    )
    return red, green, blue


def two_colours(
    rng: np.random.Generator, saturation: tuple[float, float], apart: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two colours that differ in brightness by more than ``apart``."""
    while True:
        first, second = colour(rng, saturation), colour(rng, saturation)
        if abs(_mean(first) - _mean(second)) > apart:
            return np.array(first), np.array(second)


def _mean(values: tuple[float, float, float]) -> float:
    # sum() rounds in another way since Python 3.12.
    return (values[0] + values[1] + values[2]) / 3


def turned_axes(
    rng: np.random.Generator, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two perpendicular coordinates in pixels, (H, W), at a random angle."""
    angle = rng.uniform(0, np.pi)
    y = np.arange(height, dtype=np.float32)[:, None] + rng.uniform(0, height)
    x = np.arange(width, dtype=np.float32) + rng.uniform(0, width)
    c, s = np.cos(angle), np.sin(angle)
    return x * c + y * s, y * c - x * s


def smooth_noise(
    rng: np.random.Generator, height: int, width: int, cell: float
) -> np.ndarray:
    """Noise in about [0, 1] that varies over ``cell`` pixels, (H, W)."""
    grid = (int(height / cell) + 2, int(width / cell) + 2)
    coarse = rng.random(grid, dtype=np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    along, _ = turned_axes(rng, height, width)
    return (along - along.min()) / np.ptp(along)


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.random((height, width), dtype=np.float32)


def blobs(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    cell = height * rng.uniform(0.08, 0.2)
    hills = smooth_noise(rng, height, width, cell)
    return np.clip(4 * hills - 1.5, 0, 1)


def stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    along, _ = turned_axes(rng, height, width)
    period = height * rng.uniform(0.06, 0.14)
    return along % period < period / 2


def checks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    period = height * rng.uniform(0.08, 0.16)
    along, across = turned_axes(rng, height, width)
    return (along % period < period / 2) ^ (across % period < period / 2)


def dots(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    period = height * rng.uniform(0.06, 0.12)
    along, across = (
        np.cos(2 * np.pi * axis / period)
        for axis in turned_axes(rng, height, width)
    )
    return along + across > 0.6


#: Textures of each region of the background, by its class.
REGIONS: dict[str, tuple[Texture, ...]] = dict(
    plain=(gradient, noise, blobs), striped=(stripes,), checked=(checks,)
)
#: Usual texture of a thing; a region may have the same.
COVERS: dict[str, Texture] = dict(
    disc=gradient,
    button=gradient,
    gift=blobs,
    tile=checks,
    kite=stripes,
    star=noise,
    ring=dots,
    cross=blobs,
)
#: How often a thing has its class's own texture, not just any.
USUAL = 0.9


def ground(
    rng: np.random.Generator, height: int, width: int, region: str
) -> np.ndarray:
    """A region's texture, (H, W, 3) in [0, 1]."""
    weight = _choice(rng, REGIONS[region])(rng, height, width)
    return _mix(weight, *two_colours(rng, MUTED, 0.15))


def cover(
    rng: np.random.Generator,
    height: int,
    width: int,
    kind: str,
    below: np.ndarray,
) -> np.ndarray:
    """Texture of a thing, (H, W, 3) in [0, 1], in contrast to the ground.

    Args:
        kind: Class of the thing.
        below: Pixels (N, 3) that the thing covers.
    """
    texture = COVERS[kind]
    if rng.random() > USUAL:
        texture = _choice(rng, tuple(COVERS.values()))
    weight = texture(rng, height, width)
    for _ in range(20):
        first, second = two_colours(rng, VIVID, 0.1)
        away = (first + second) / 2 - below.mean(axis=0)
        if np.abs(away).max() > CONTRAST:
            break
    return _mix(weight, first, second)


def _choice(rng: np.random.Generator, options: tuple) -> Texture:
    return options[int(rng.integers(len(options)))]


def _mix(weight: np.ndarray, first: np.ndarray, second: np.ndarray):
    """(H, W) weights and two colours -> (H, W, 3)."""
    weight = weight[..., None].astype(np.float32)
    return weight * first + (1 - weight) * second
