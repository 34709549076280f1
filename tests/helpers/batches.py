"""Real data samples of both hosts, made without a data set."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample


def detection_batch(n=2, size=(96, 128), seed=0):
    """Images with two boxes each, as a dataloader gives them."""
    rng = torch.Generator().manual_seed(seed)
    inputs, samples = [], []
    for _ in range(n):
        inputs.append(torch.randint(0, 256, (3, *size), generator=rng).byte())
        boxes = torch.tensor([[8.0, 8, 60, 70], [40, 20, 110, 90]])
        masks = np.zeros((2, *size), dtype=np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int(), strict=True):
            mask[y1:y2, x1:x2] = 1
        sample = DetDataSample(metainfo=_metainfo(size))
        sample.gt_instances = InstanceData(
            bboxes=boxes,
            labels=torch.tensor([0, 2]),
            masks=BitmapMasks(masks, *size),
        )
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def segmentation_batch(n=2, size=(64, 64), classes=4, seed=0, channels=3):
    """Images with random labels, as a dataloader gives them."""
    rng = torch.Generator().manual_seed(seed)
    inputs, samples = [], []
    for _ in range(n):
        shape = channels, *size
        inputs.append(torch.randint(0, 256, shape, generator=rng).byte())
        labels = torch.randint(0, classes, (1, *size), generator=rng)
        sample = SegDataSample(metainfo=_metainfo(size))
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def _metainfo(size):
    return dict(
        img_shape=size,
        ori_shape=size,
        pad_shape=size,
        batch_input_shape=size,
        scale_factor=(1.0, 1.0),
        flip=False,
    )


def step_losses(model, batch):
    """Losses of one training step, before MMEngine sums them."""
    data = model.data_preprocessor(batch, True)
    return model(**data, mode='loss')


def total(model, losses):
    """The scalar that MMEngine would call backward on."""
    return model.parse_losses(losses)[0]
