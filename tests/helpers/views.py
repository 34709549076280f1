"""Transforms, folders of images and data sets of views."""

import cv2
import numpy as np
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, TRANSFORMS
from torch.utils.data import DataLoader

OWN = 'mmdistill_dense.'
CROP = dict(type=OWN + 'RandomResizedCrop', size=16)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type=OWN + 'MultiView', transforms=[[CROP], [CROP]]),
    dict(type=OWN + 'PackViews'),
]


def build(name, **settings):
    return TRANSFORMS.build(dict(type=OWN + name, **settings))


def results_of(img):
    """What a pipeline has of an image that was read."""
    return dict(img=img, ori_shape=img.shape[:2], img_path='a.jpg')


def write(root, *names):
    """Images of noise, 24x20."""
    rng = np.random.default_rng(0)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (20, 24, 3), np.uint8)
        cv2.imwrite(str(path), picture)


def dataset(root, **settings):
    settings = dict(pipeline=PIPELINE, data_root=str(root)) | settings
    return DATASETS.build(dict(type=OWN + 'UnlabelledImages', **settings))


def read_all(data, **loader):
    """Numbers of the images that a loader gave, in order."""
    batches = DataLoader(
        data, batch_size=4, collate_fn=pseudo_collate, **loader
    )
    return [s.sample_idx for batch in batches for s in batch['data_samples']]
