"""Random batches in the format of a data loader.

Images are noise: the time of a convolution does not depend on its input.
Labels are realistic, as their number determines the time of a detector's
losses. They pass through the hosts' own transforms, from the registry.
"""

from typing import Any

import numpy as np
from mmengine.registry import TRANSFORMS, DefaultScope

Size = tuple[int, int]
#: Mean number of instances per image, as in COCO.
MEAN_INSTANCES = 7
#: Fraction of a label map that is ignored.
IGNORED_SHARE = 0.05


def draw_batch(
    scope: str, classes: int, count: int, size: Size, seed: int
) -> dict:
    """Images and labels in the format of ``data_preprocessor``.

    Args:
        scope: ``mmdet`` or ``mmseg``.
        classes: Number of classes.
        count: Number of images.
        size: Their height and width, in pixels.
        seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    draw = _detection if scope == 'mmdet' else _segmentation
    with DefaultScope.overwrite_default_scope(scope):
        packed = [draw(rng, size, classes) for _ in range(count)]
    return {key: [one[key] for one in packed] for key in packed[0]}


def _image(rng: np.random.Generator, size: Size) -> dict[str, Any]:
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    shapes = dict(ori_shape=size, img_shape=size, pad_shape=size)
    unscaled = dict(scale_factor=(1.0, 1.0), flip=False, flip_direction=None)
    return dict(img=image, img_id=0, img_path='', **shapes, **unscaled)


def _detection(rng: np.random.Generator, size: Size, classes: int) -> dict:
    count = int(rng.integers(MEAN_INSTANCES - 3, MEAN_INSTANCES + 4))
    results = _image(rng, size)
    results['instances'] = [
        _instance(rng, size, classes) for _ in range(count)
    ]
    load = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    for step in (load, dict(type='PackDetInputs')):
        results = TRANSFORMS.build(step)(results)
    return results


def _instance(rng: np.random.Generator, size: Size, classes: int) -> dict:
    """An ellipse of twelve corners, with log-uniform size."""
    height, width = size
    shorter = min(size)
    across = np.exp(rng.uniform(np.log(shorter / 16), np.log(shorter / 2)))
    ratio = np.sqrt(rng.uniform(0.5, 2.0))
    w, h = across * ratio, across / ratio
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    xs = x + w / 2 * (1 + np.cos(angles))
    ys = y + h / 2 * (1 + np.sin(angles))
    return dict(
        bbox=[x, y, x + w, y + h],
        bbox_label=int(rng.integers(classes)),
        mask=[np.stack([xs, ys], 1).flatten().tolist()],
        ignore_flag=0,
    )


def _segmentation(rng: np.random.Generator, size: Size, classes: int) -> dict:
    """Regions of 16x16 pixels of one class each."""
    rows, columns = (-(-side // 16) for side in size)
    labels = rng.integers(0, classes, (rows, columns), dtype=np.uint8)
    labels[rng.random((rows, columns)) < IGNORED_SHARE] = 255
    full = labels.repeat(16, 0).repeat(16, 1)[: size[0], : size[1]]
    results = _image(rng, size)
    results.update(
        gt_seg_map=full, seg_fields=['gt_seg_map'], reduce_zero_label=False
    )
    return TRANSFORMS.build(dict(type='PackSegInputs'))(results)
