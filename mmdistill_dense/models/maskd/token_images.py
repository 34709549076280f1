"""Finds and reads images, and computes the masks of tokens on them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmdistill_dense.functional import mask_diversity
from mmdistill_dense.functional.spatial import resize_to

Size = tuple[int, int]
SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


@dataclass(frozen=True)
class LevelMasks:
    """Masks of one level on one image, without padding.

    Args:
        masks: Probabilities on the image's pixels, (T, H, W), float32.
        grid: Height and width of the map, in cells, with padding.
        stride: Pixels from cell to cell, down and across.
        means: Mean probability of each token over the pixels.
        areas: Share of the cells where each token is above 0.5.
        dice: Soft Dice of all pairs of masks, over the cells: 1 if all are
            equal, 0 if none overlap.
    """

    masks: np.ndarray
    grid: Size
    stride: Size
    means: np.ndarray
    areas: np.ndarray
    dice: float


def level_masks(masks: Tensor, image: Size, padded: Size) -> LevelMasks:
    """Resize the masks of a level to an image.

    Hosts pad at the bottom and on the right. A cell belongs to the image if
    its centre lies in the image.

    Args:
        masks: Probabilities of one image, (T, h, w), T at least 2.
        image: Height and width of the image, in pixels.
        padded: Height and width of the padded batch, in pixels.

    Raises:
        ValueError: If there are fewer than two masks.
    """
    masks = masks.detach().float().cpu()
    grid = masks.shape[1:]
    height, width = (
        max(1, round(cells * own / whole))
        for cells, own, whole in zip(grid, image, padded, strict=True)
    )
    cells = masks[:, :height, :width]
    pixels = resize_to(masks[None], padded)[0, :, : image[0], : image[1]]
    return LevelMasks(
        masks=pixels.numpy(),
        grid=tuple(grid),
        stride=tuple(round(p / g) for p, g in zip(padded, grid, strict=True)),
        means=pixels.mean((1, 2)).numpy(),
        areas=(cells > 0.5).float().mean((1, 2)).numpy(),
        dice=mask_diversity(cells[None]).item(),
    )


def test_pipeline(cfg: Config) -> Compose:
    """The transforms of a config's test images; annotations are not read.

    Raises:
        ValueError: If the config has no test and no validation data.
    """
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        raise ValueError(
            'the config has neither test_dataloader nor val_dataloader, '
            'whose pipeline reads the images.'
        )
    data = loader.dataset
    while 'pipeline' not in data:  # a wrapper, or concatenated data sets
        data = data['dataset'] if 'dataset' in data else data['datasets'][0]
    steps = [
        step
        for step in data['pipeline']
        if not str(step['type']).endswith('Annotations')
    ]
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return Compose(steps)


def read_image(pipeline: Compose, path: str | Path) -> dict:
    """Read an image as a data set would: ``inputs`` and ``data_samples``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or the pipeline fails on it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'image {path} does not exist.')
    try:
        packed = pipeline(dict(img_path=str(path), img_id=0))
    except Exception as error:  # of any transform
        raise ValueError(
            f'{path} did not pass the test pipeline, which expects an image: '
            f'{type(error).__name__}: {error}'
        ) from error
    if not packed:
        raise ValueError(f'{path} holds no image.')
    return packed


def masks_on_image(
    learner: nn.Module, packed: dict
) -> tuple[np.ndarray, list[LevelMasks]]:
    """Compute the masks of the tokens on an image.

    Args:
        learner: A ``MaskTokenLearner``.
        packed: Result of :func:`read_image`, or an item of a data set.

    Returns:
        The image as the teacher gets it, without padding, (H, W, 3), RGB,
        uint8; and the masks of each level on it.
    """
    pixels, sample = packed['inputs'], packed['data_samples']
    data = learner.data_preprocessor(
        dict(inputs=[pixels], data_samples=[sample]), False
    )
    masks = learner.token_masks(data['inputs'], data['data_samples'])
    shape = sample.metainfo.get('img_shape', pixels.shape[1:])
    height, width = shape[:2]
    padded = tuple(data['inputs'].shape[2:])
    levels = [level_masks(m[0], (height, width), padded) for m in masks]
    bgr = pixels[:, :height, :width].clamp(0, 255).to(torch.uint8)
    return bgr.flip(0).permute(1, 2, 0).cpu().numpy(), levels


def image_files(names: Iterable[str | Path]) -> list[Path]:
    """Paths of images, and of all images in folders.

    Args:
        names: Images and folders.

    Raises:
        FileNotFoundError: If a path does not exist, or a folder contains no
            image.
    """
    return [file for name in names for file in _images_of(Path(name))]


def _images_of(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f'image {path} does not exist.')
        return [path]
    images = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not images:
        raise FileNotFoundError(
            f'folder {path} holds no image: expected files that end in '
            f'{", ".join(SUFFIXES)}.'
        )
    return images


def picture_names(paths: Iterable[str | Path]) -> list[str]:
    """A unique name for the picture of each image."""
    names: list[str] = []
    for path in paths:
        name = stem = Path(path).stem
        count = 1
        while name in names:
            count += 1
            name = f'{stem}_{count}'
        names.append(name)
    return names
