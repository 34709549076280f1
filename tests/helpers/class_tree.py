"""A tiny ImageNet: a folder per class, in ``train`` and ``val``."""

import cv2
import numpy as np

from .datasets import CLASSES, PALETTE, SHAPES


def write_class_tree(root, images=8, size=48, splits=('train', 'val')):
    """A coloured rectangle on noise in each image, one kind per class.

    ``root`` gets ``<split>/<class>/000.jpg``; returns ``root``.
    """
    for seed, split in enumerate(splits):
        rng = np.random.default_rng(seed)
        for kind, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(images):
                picture = draw(rng, kind, size)
                cv2.imwrite(str(folder / f'{index:03d}.jpg'), picture)
    return root


def draw(rng, kind, size):
    picture = rng.integers(60, 120, (size, size, 3)).astype(np.uint8)
    h, w = SHAPES[kind]
    x, y = (int(rng.integers(0, size - side)) for side in (w, h))
    picture[y : y + h, x : x + w] = PALETTE[kind + 1]
    return picture


def labelled_dataset(root, split, size=32, train=False):
    """Config of ``LabelledImages``, with the shipped pipelines in small."""
    views = [
        dict(type='Resize', scale=(100000, size), keep_ratio=True),
        dict(type='CenterCrop', crop_size=size),
    ]
    if train:
        views = [
            dict(
                type='mmdistill_dense.RandomResizedCrop',
                size=size,
                scale=(0.5, 1.0),
            ),
            dict(type='RandomFlip', prob=0.5),
        ]
    return dict(
        type='mmdistill_dense.LabelledImages',
        data_root=str(root),
        images=split,
        pipeline=[
            dict(type='LoadImageFromFile'),
            *views,
            dict(type='mmdistill_dense.PackLabel'),
        ],
    )
