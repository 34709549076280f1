"""Draw label maps and instances on images."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmengine.structures import BaseDataElement

Palette = Sequence[Sequence[int]]
#: Instances below this score are not drawn.
SCORE_THRESHOLD = 0.3


def paint_labels(
    image: np.ndarray,
    labels: np.ndarray,
    palette: Palette,
    opacity: float = 0.65,
) -> np.ndarray:
    """Tint every pixel by its class, on grey.

    Args:
        image: (H, W, 3), RGB, uint8.
        labels: (H, W), indices into the palette; others, such as 255 for
            void, stay grey.
        palette: An RGB colour in 0-255 for each class.
        opacity: Of the tint, in [0, 1].

    Returns:
        A new picture, (H, W, 3), RGB, uint8.
    """
    known = labels < len(palette)
    colours = np.asarray(palette, np.float32)[np.where(known, labels, 0)]
    weight = opacity * known[..., None]
    ground = (1 - weight) * _grey(image)
    return (weight * colours + ground).astype(np.uint8)


def paint_instances(
    image: np.ndarray,
    masks: Sequence[np.ndarray],
    labels: Sequence[int],
    palette: Palette,
    opacity: float = 0.55,
) -> np.ndarray:
    """Tint the instances by their classes, on grey, with contours.

    Args:
        image: (H, W, 3), RGB, uint8.
        masks: (H, W), bool, of each instance; the last ones lie on top.
        labels: Class of each instance, indices into the palette.
        palette: An RGB colour in 0-255 for each class.
        opacity: Of the tint, in [0, 1].

    Returns:
        A new picture, (H, W, 3), RGB, uint8.
    """
    picture = _grey(image)
    for mask, label in zip(masks, labels, strict=True):
        colour = tuple(int(c) for c in palette[label])
        tinted = opacity * np.array(colour) + (1 - opacity) * picture[mask]
        picture[mask] = tinted.astype(np.uint8)
        contours, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, contours, -1, colour, 1)
    return picture


def example_rows(
    models: Sequence[Sequence[BaseDataElement]], palette: Palette
) -> list[list[np.ndarray]]:
    """Rows of input, ground truth and the prediction of each model.

    Args:
        models: Of each model, its predictions of the same images.
        palette: An RGB colour in 0-255 for each class.

    Returns:
        A row for each image, of pictures (H, W, 3), RGB, uint8.
    """
    rows = []
    for samples in zip(*models, strict=True):
        image = cv2.cvtColor(
            cv2.imread(samples[0].img_path), cv2.COLOR_BGR2RGB
        )
        truth = paint_truth(image, samples[0], palette)
        guesses = [paint_prediction(image, s, palette) for s in samples]
        rows.append([image, truth, *guesses])
    return rows


def paint_truth(
    image: np.ndarray, sample: BaseDataElement, palette: Palette
) -> np.ndarray:
    """The ground truth of either host on an image, (H, W, 3), RGB."""
    if 'gt_sem_seg' in sample:
        labels = sample.gt_sem_seg.data[0].numpy()
        return paint_labels(image, labels, palette)
    truth = sample.gt_instances
    masks = truth.masks.to_ndarray().astype(bool)
    return paint_instances(image, masks, truth.labels.tolist(), palette)


def paint_prediction(
    image: np.ndarray, sample: BaseDataElement, palette: Palette
) -> np.ndarray:
    """The prediction of either host on an image, (H, W, 3), RGB."""
    if 'pred_sem_seg' in sample:
        labels = sample.pred_sem_seg.data[0].numpy()
        return paint_labels(image, labels, palette)
    found = sample.pred_instances
    found = found[found.scores > SCORE_THRESHOLD]
    masks = found.masks.numpy().astype(bool)
    return paint_instances(image, masks, found.labels.tolist(), palette)


def _grey(image: np.ndarray) -> np.ndarray:
    """The picture without colour, so that every colour means a class."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
