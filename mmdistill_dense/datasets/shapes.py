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
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
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
    workers: int = 1,
) -> None:
    """Write the data set into a new or empty folder.

    Args:
        out: The folder.
        seed: Seed of the data set. An image depends only on it, on its
            split and its number.
        train: Number of training images.
        val: Number of validation images.
        size: Height and width in pixels.
        workers: Processes that draw; the files do not depend on it.

    Raises:
        ValueError: If an argument is out of its range, or the folder is not
            empty.
    """
    out = Path(out)
    _check_arguments(out, seed, train, val, size)
    check_int('workers', workers, 1)
    for number, (split, count) in enumerate((('train', train), ('val', val))):
        with ProcessPoolExecutor(workers) as pool:
            run = partial(pool.map, chunksize=16) if workers > 1 else map
            _write_split(out, split, count, [seed, number], size, run)


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
    out: Path,
    split: str,
    count: int,
    key: list[int],
    size: tuple[int, int],
    run: Callable[..., Iterable],
) -> None:
    """Write the images and label maps of a split, then its instances.

    Args:
        run: ``map``, or one that calls the function in other processes.
    """
    for folder in (f'images/{split}', f'labels/{split}', 'annotations'):
        (out / folder).mkdir(parents=True, exist_ok=True)
    coco = coco_file(THINGS)
    write_scene = partial(_write_scene, out, split, key, size)
    for index, instances in enumerate(run(write_scene, range(count))):
        coco['images'].append(
            dict(
                id=index,
                file_name=f'{split}/{index:04d}.jpg',
                height=size[0],
                width=size[1],
            )
        )
        for kind, mask in instances:
            number = len(coco['annotations']) + 1
            coco['annotations'].append(annotation(number, index, kind, mask))
    path = out / 'annotations' / f'instances_{split}.json'
    path.write_text(json.dumps(coco))


def _write_scene(
    out: Path, split: str, key: list[int], size: tuple[int, int], index: int
) -> list[tuple[int, np.ndarray]]:
    """Write an image and its label map; returns its instances."""
    scene = draw_scene(np.random.default_rng([*key, index]), *size)
    save_picture(out / f'images/{split}/{index:04d}.jpg', scene.image)
    save_picture(out / f'labels/{split}/{index:04d}.png', scene.labels)
    return scene.instances


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
    parser.add_argument('--workers', type=int, default=1, metavar='N')
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
