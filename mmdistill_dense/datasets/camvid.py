"""Converts the common form of CamVid to the form of ``configs/camvid``.

``python -m mmdistill_dense.datasets.camvid CAMVID OUT`` reads the copy of
the SegNet tutorial (Badrinarayanan et al., 2017)::

    CAMVID/{train,val,test}/*.png             # 480x360
    CAMVID/{train,val,test}annot/*.png        # 0-10, 11 is unlabelled

and writes images and labels of 320x240 with void as 255, and COCO instances.
CamVid has no instance labels; the instances are the connected components of
countable classes.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from .coco import annotation, coco_file, save_picture

SIZE = (320, 240)
SOURCE_VOID, VOID = 11, 255
#: Classes of the label maps whose components count as instances.
THINGS = dict(car=8, pedestrian=9, bicyclist=10, sign=6)
#: Smallest instance, in pixels of the written labels.
MIN_AREA = 40


def convert(source: str | Path, out: str | Path) -> dict[str, int]:
    """Write those of ``train``, ``val`` and ``test`` that the source has.

    Args:
        source: Folder of the SegNet tutorial's CamVid.
        out: A new or empty folder.

    Returns:
        Number of images by split.

    Raises:
        ValueError: If ``source`` is no such folder, or ``out`` is not empty.
    """
    source, out = Path(source), Path(out)
    splits = [s for s in ('train', 'val', 'test') if is_split(source, s)]
    if not {'train', 'val'} <= set(splits):
        raise ValueError(
            f'{source} is no CamVid of the SegNet tutorial: expected the '
            'folders train, trainannot, val and valannot with *.png, found '
            f'{sorted(p.name for p in source.glob("*"))[:8]}.'
        )
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise ValueError(f'{out} is not empty: name a new folder.')
    # Under another name first, so no partial result has the final name.
    unfinished = out.with_name(f'{out.name}.unfinished')
    shutil.rmtree(unfinished, ignore_errors=True)
    counts = {s: _convert_split(source, unfinished, s) for s in splits}
    if out.exists():
        out.rmdir()  # it is empty
    unfinished.rename(out)
    return counts


def is_split(source: Path, split: str) -> bool:
    """Whether the source has images and labels of a split."""
    return any(source.glob(f'{split}/*.png')) and any(
        source.glob(f'{split}annot/*.png')
    )


def _convert_split(source: Path, out: Path, split: str) -> int:
    images, labels = out / 'images' / split, out / 'labels' / split
    for folder in (images, labels, out / 'annotations'):
        folder.mkdir(parents=True, exist_ok=True)
    coco = coco_file(THINGS)
    for path in sorted((source / split).glob('*.png')):
        image, label = _read(path, source / f'{split}annot' / path.name)
        save_picture(images / f'{path.stem}.jpg', image)
        save_picture(labels / path.name, label)
        number = len(coco['images'])
        width, height = SIZE
        name = f'{split}/{path.stem}.jpg'
        coco['images'].append(
            dict(id=number, file_name=name, height=height, width=width)
        )
        for kind, mask in components(label):
            index = len(coco['annotations']) + 1
            coco['annotations'].append(annotation(index, number, kind, mask))
    target = out / 'annotations' / f'instances_{split}.json'
    target.write_text(json.dumps(coco))
    return len(coco['images'])


def _read(image: Path, label: Path) -> tuple[np.ndarray, np.ndarray]:
    """An image and its label map, resized; void is 255."""
    picture = cv2.imread(str(image))
    classes = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    if picture is None or classes is None:
        missing = image if picture is None else label
        raise ValueError(f'{missing} is missing or no picture.')
    if classes.ndim != 2 or classes.max() > SOURCE_VOID:
        raise ValueError(
            f'{label} is no label map of 0-{SOURCE_VOID}: it has the shape '
            f'{classes.shape} and values up to {classes.max()}.'
        )
    classes = cv2.resize(classes, SIZE, interpolation=cv2.INTER_NEAREST)
    classes[classes == SOURCE_VOID] = VOID
    picture = cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
    return picture, classes


def components(label: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Index into ``THINGS`` and mask (H, W) of each instance."""
    for kind, value in enumerate(THINGS.values()):
        count, parts = cv2.connectedComponents((label == value).astype('u1'))
        for part in range(1, count):
            mask = parts == part
            if mask.sum() >= MIN_AREA:
                yield kind, mask


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='python -m mmdistill_dense.datasets.camvid',
        description="Convert the SegNet tutorial's CamVid for configs/camvid.",
    )
    parser.add_argument('camvid', help='folder with train, trainannot, ...')
    parser.add_argument('out', help='folder to make')
    args = parser.parse_args()
    try:
        counts = convert(args.camvid, args.out)
    except (OSError, ValueError) as error:
        raise SystemExit(f'camvid: {error}') from error
    print(f'{args.out}: images by split: {counts}')


if __name__ == '__main__':
    main()
