"""Writes images, and builds the records of a COCO instance file."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as rle


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture or a label map.

    Raises:
        OSError: If it cannot be written; OpenCV raises no error.
    """
    if not cv2.imwrite(str(path), picture):
        raise OSError(f'{path} could not be written.')


def coco_file(classes: Iterable[str]) -> dict[str, list]:
    """Content of a file without images; category ids start at 0."""
    named = [dict(id=i, name=name) for i, name in enumerate(classes)]
    return dict(images=[], annotations=[], categories=named)


def annotation(number: int, image: int, kind: int, mask: np.ndarray) -> dict:
    """Record of one instance; ``mask`` (H, W) is its visible part."""
    code = rle.encode(np.asfortranarray(mask, np.uint8))
    return dict(
        id=number,
        image_id=image,
        category_id=kind,
        area=int(mask.sum()),
        bbox=rle.toBbox(code).tolist(),
        segmentation=dict(size=code['size'], counts=code['counts'].decode()),
        iscrowd=0,
    )
