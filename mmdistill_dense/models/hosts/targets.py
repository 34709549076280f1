"""Ground truth of a batch as plain tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..losses.inputs import Targets
from .kinds import is_segmentor


def read_targets(samples: Sequence[Any], inputs: Tensor) -> Targets:
    """Ground truth of the samples that a host's ``loss`` gets.

    Args:
        samples: Data samples of mmdet or mmseg, one per image.
        inputs: The padded batch (N, C, H, W).

    Returns:
        Targets without a stride: boxes of a detector, the label map of a
        segmentor.
    """
    height, width = inputs.shape[-2:]
    boxes = labels = pixels = None
    if all('gt_instances' in sample for sample in samples):
        instances = [sample.gt_instances for sample in samples]
        # A tensor, or one inside mmdet's HorizontalBoxes.
        boxes = [getattr(x.bboxes, 'tensor', x.bboxes) for x in instances]
        labels = [x.labels for x in instances]
    elif all('gt_sem_seg' in sample for sample in samples):
        maps = [sample.gt_sem_seg.data[0] for sample in samples]
        pixels = torch.stack(maps).long()
    shapes = [
        tuple(sample.metainfo.get('img_shape', (height, width)))[:2]
        for sample in samples
    ]
    return Targets(shapes, (height, width), None, boxes, labels, pixels)


def blank_targets(
    model: nn.Module, size: tuple[int, int], like: Tensor
) -> Targets:
    """Targets of one blank image: all of it is of class 0.

    Args:
        model: A stock detector or segmentor.
        size: Height and width of the image, in pixels.
        like: Tensor whose device and dtype they get.
    """
    height, width = size
    boxes = labels = pixels = None
    if is_segmentor(model):
        pixels = like.new_zeros(1, height, width).long()
    else:
        boxes = [like.new_tensor([[0, 0, width, height]])]
        labels = [like.new_zeros(1).long()]
    return Targets([size], size, None, boxes, labels, pixels)
