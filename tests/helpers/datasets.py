"""Tiny data sets on disk, read through the hosts' own classes."""

import json

import cv2
import numpy as np

CLASSES = ('square', 'bar', 'pole')
SEG_CLASSES = ('ground', *CLASSES)
PALETTE = [(90, 90, 90), (200, 40, 40), (40, 200, 40), (40, 40, 200)]
#: Height and width of each class's rectangle, in pixels.
SHAPES = [(24, 24), (10, 36), (36, 10)]


def write_dataset(root, images=6, size=64, seed=0):
    """Coloured rectangles on noise, annotated for both hosts.

    ``root`` gets ``images/*.jpg``, ``labels/*.png`` and
    ``instances.json`` (COCO); every image holds two instances.
    """
    rng = np.random.default_rng(seed)
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True)
    coco = dict(
        images=[],
        annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES)],
    )
    for index in range(images):
        picture, labels, boxes = _draw(rng, size)
        name = f'{index:03d}'
        cv2.imwrite(str(root / 'images' / f'{name}.jpg'), picture)
        cv2.imwrite(str(root / 'labels' / f'{name}.png'), labels)
        coco['images'].append(
            dict(id=index, file_name=f'{name}.jpg', width=size, height=size)
        )
        for kind, box in boxes:
            coco['annotations'].append(
                _annotation(len(coco['annotations']), index, kind, box)
            )
    (root / 'instances.json').write_text(json.dumps(coco))
    return root


def _draw(rng, size):
    """A picture, its label map, and (class, (x, y, w, h)) of each shape."""
    picture = rng.integers(60, 120, (size, size, 3)).astype(np.uint8)
    labels = np.zeros((size, size), dtype=np.uint8)
    boxes = []
    for kind in rng.choice(len(SHAPES), 2, replace=False):
        h, w = SHAPES[kind]
        x, y = (int(rng.integers(0, size - side)) for side in (w, h))
        picture[y : y + h, x : x + w] = PALETTE[kind + 1]
        labels[y : y + h, x : x + w] = kind + 1
        boxes.append((int(kind), (x, y, w, h)))
    return picture, labels, boxes


def _annotation(index, image, kind, box):
    x, y, w, h = box
    return dict(
        id=index + 1,
        image_id=image,
        category_id=kind,
        bbox=list(box),
        area=w * h,
        segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
        iscrowd=0,
    )


def detection_dataset(root, train=True):
    """Config of mmdet's ``CocoDataset``; nothing in it is random."""
    load = [dict(type='LoadImageFromFile')]
    read = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    return dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='instances.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=CLASSES),
        test_mode=not train,
        pipeline=[
            *load,
            dict(type='Resize', scale_factor=1.0, keep_ratio=True),
            read,
            dict(
                type='PackDetInputs',
                meta_keys=keys if not train else (*keys, 'flip'),
            ),
        ],
    )


def segmentation_dataset(root, train=True):
    """Config of mmseg's ``BaseSegDataset``; nothing in it is random."""
    return dict(
        type='BaseSegDataset',
        data_root=str(root),
        img_suffix='.jpg',
        seg_map_suffix='.png',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        metainfo=dict(classes=SEG_CLASSES, palette=PALETTE),
        test_mode=not train,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
    )
