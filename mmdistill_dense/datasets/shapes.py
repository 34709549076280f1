"""The embedded data set: shapes on textured ground, for both hosts.

``python -m mmdistill_dense.datasets.shapes OUT`` writes::

    OUT/images/{train,val}/*.jpg
    OUT/labels/{train,val}/*.png                  # indices into CLASSES
    OUT/annotations/instances_{train,val}.json    # COCO, classes THINGS

Everything is drawn from the seed: the same arguments give the same files.
configs/_base_/datasets/shapes_*.py read these paths.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from mmdistill_dense.functional.checks import check_int

from .coco import annotation, coco_file, save_picture
from .outlines import THINGS
from .scenes import CLASSES, draw_scene

__all__ = ['CLASSES', 'THINGS', 'write_dataset']

TRAIN, VAL, SIZE = 800, 120, (96, 128)
#: Smallest height and width in pixels; less has no room for things.
MIN_SIDE = 48


def write_dataset(
    out: str | Path,
    *,
    seed: int = 0,
    train: int = TRAIN,
    val: int = VAL,
    size: tuple[int, int] = SIZE,
) -> None:
    """Write the data set into a new or empty folder.

    Args:
        out: The folder.
        seed: Seed of the data set. An image depends only on it, on its
            split and its number.
        train: Number of training images.
        val: Number of validation images.
        size: Height and width in pixels.

    Raises:
        ValueError: If an argument is out of its range, or the folder is not
            empty.
    """
    out = Path(out)
    _check_arguments(out, seed, train, val, size)
    for number, (split, count) in enumerate((('train', train), ('val', val))):
        _write_split(out, split, count, [seed, number], size)


def _check_arguments(out, seed, train, val, size) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ValueError(
            f'{out} is not empty: expected a new folder or an empty one. '
            'Remove it, or name another.'
        )
    check_int('seed', seed, 0)
    check_int('train', train, 1)
    check_int('val', val, 1)
    if min(size) < MIN_SIDE:
        raise ValueError(
            f'images of {size[0]}x{size[1]} (height x width) have no room '
            f'for shapes: both must be {MIN_SIDE} pixels or more.'
        )


def _write_split(
    out: Path, split: str, count: int, key: list[int], size: tuple[int, int]
) -> None:
    """Write the images and label maps of a split, then its instances."""
    images, labels = out / 'images' / split, out / 'labels' / split
    for folder in (images, labels, out / 'annotations'):
        folder.mkdir(parents=True, exist_ok=True)
    coco = coco_file(THINGS)
    for index in range(count):
        scene = draw_scene(np.random.default_rng([*key, index]), *size)
        save_picture(images / f'{index:04d}.jpg', scene.image)
        save_picture(labels / f'{index:04d}.png', scene.labels)
        coco['images'].append(
            dict(
                id=index,
                file_name=f'{split}/{index:04d}.jpg',
                height=size[0],
                width=size[1],
            )
        )
        for kind, mask in scene.instances:
            number = len(coco['annotations']) + 1
            coco['annotations'].append(annotation(number, index, kind, mask))
    path = out / 'annotations' / f'instances_{split}.json'
    path.write_text(json.dumps(coco))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog='python -m mmdistill_dense.datasets.shapes',
        description='Write the embedded data set: shapes on textured ground.',
    )
    parser.add_argument('out', help='folder to make')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--train', type=int, default=TRAIN, metavar='N')
    parser.add_argument('--val', type=int, default=VAL, metavar='N')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=SIZE,
        metavar=('H', 'W'),
        help='height and width in pixels (default: %(default)s)',
    )
    args = parser.parse_args()
    options = vars(args)
    out = options.pop('out')
    try:
        write_dataset(out, **options)
    except (OSError, ValueError) as error:
        raise SystemExit(f'shapes: {error}') from error
    print(
        f'{out}: {args.train} training and {args.val} validation images of '
        f'{args.size[0]}x{args.size[1]}, {len(CLASSES)} classes, '
        f'{len(THINGS)} of them things'
    )


if __name__ == '__main__':
    main()
