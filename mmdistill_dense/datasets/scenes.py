"""One image of the embedded data set, with its ground truth."""

from dataclasses import dataclass

import cv2
import numpy as np

from . import outlines, textures
from .outlines import THINGS

REGIONS = tuple(textures.REGIONS)
#: Classes of the label maps: regions of the background, then things.
CLASSES = REGIONS + THINGS
#: At least this much of every thing stays in sight.
VISIBLE = 0.45
#: Smallest visible thing, in pixels.
SMALLEST = 40


@dataclass
class Scene:
    """An image, its label map and its instances.

    Attributes:
        image: (H, W, 3), BGR, uint8.
        labels: (H, W), indices into ``CLASSES``, uint8.
        instances: Class (index into ``THINGS``) and visible part (H, W),
            bool, of each thing.
    """

    image: np.ndarray
    labels: np.ndarray
    instances: list[tuple[int, np.ndarray]]


def draw_scene(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Draw regions, then things that partly hide each other, then light."""
    image, labels = _background(rng, height, width)
    instances: list[tuple[int, np.ndarray]] = []
    wanted = int(rng.integers(3, 7))
    for _ in range(4 * wanted):
        if len(instances) == wanted:
            break
        kind = int(rng.integers(len(THINGS)))
        radius = height * np.exp(rng.uniform(np.log(0.16), np.log(0.45)))
        thing = _Thing(rng, THINGS[kind], radius, height, width)
        if not _leaves_in_sight(thing.mask, instances):
            continue
        for _, visible in instances:
            visible &= ~thing.mask
        thing.paint(rng, image)
        labels[thing.mask] = len(REGIONS) + kind
        instances.append((kind, thing.mask))
    return Scene(_light(rng, image), labels, instances)


def _background(
    rng: np.random.Generator, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two or three regions with wavy borders: image (float), labels."""
    image = np.empty((height, width, 3), np.float32)
    fields = [
        textures.smooth_noise(rng, height, width, height * 0.7)
        for _ in range(int(rng.integers(2, 4)))
    ]
    owner = np.argmax(fields, axis=0)
    labels = np.zeros((height, width), np.uint8)
    kinds = rng.permutation(len(REGIONS))
    for index, kind in enumerate(kinds[: len(fields)]):
        here = owner == index
        ground = textures.ground(rng, height, width, REGIONS[kind])
        image[here] = ground[here]
        labels[here] = kind
    return image, labels


class _Thing:
    """A thing with its position and mask, not yet painted."""

    def __init__(
        self,
        rng: np.random.Generator,
        kind: str,
        radius: float,
        height: int,
        width: int,
    ):
        self.kind, self.size = kind, (height, width)
        self.centre = rng.uniform((0, 0), (width, height))
        self.radius = radius * np.array([1, rng.uniform(0.75, 1)])
        self.angle = rng.uniform(0, 2 * np.pi)
        self.mask = self.fill(outlines.outline(kind))

    def fill(self, parts: list[np.ndarray]) -> np.ndarray:
        """Mask (H, W) of outlines in the unit circle."""
        placed = [
            outlines.place(part, self.centre, self.radius, self.angle)
            for part in parts
        ]
        return outlines.fill(*self.size, placed)

    def paint(self, rng: np.random.Generator, image: np.ndarray) -> None:
        """Draw its shadow, texture and marks on the image, in place."""
        soft = self.mask.astype(np.float32)
        shadow = cv2.GaussianBlur(soft, (0, 0), 0.02 * self.size[0])
        image *= 1 - 0.5 * shadow[..., None]
        below = image[self.mask]
        layer = textures.cover(rng, *self.size, self.kind, below)
        for part, colour in outlines.mark(rng, self.kind, self.fill):
            layer[part] = colour
        weight = cv2.GaussianBlur(soft, (3, 3), 0)
        image += weight[..., None] * (layer - image)


def _leaves_in_sight(
    mask: np.ndarray, instances: list[tuple[int, np.ndarray]]
) -> bool:
    """Whether a thing is large enough and leaves enough of the others."""
    if mask.sum() < SMALLEST:
        return False
    for _, visible in instances:
        left = np.count_nonzero(visible & ~mask)
        if left < max(SMALLEST, VISIBLE * np.count_nonzero(visible)):
            return False
    return True


def _light(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Uneven light, contrast, blur and sensor noise; float to uint8."""
    height, width = image.shape[:2]
    shade = textures.smooth_noise(rng, height, width, height * 0.8)
    image = image * (0.8 + 0.3 * shade[..., None])
    image = np.clip(image, 0, 1) ** rng.uniform(0.7, 1.4)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.2, 0.4))
    image += rng.normal(0, rng.uniform(0.005, 0.02), image.shape)
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
