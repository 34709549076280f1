"""Images in one folder per class, as in ImageNet."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement

from mmdistill_dense.registry import DATASETS, TRANSFORMS

from .image_files import find_images
from .unlabelled import UnlabelledImages


@DATASETS.register_module()
class LabelledImages(UnlabelledImages):
    """A tree with one folder per class, ``train/n01440764/*.JPEG``.

    Each folder directly below ``images`` is a class. Classes are numbered
    from 0 in the order of their names. Images may lie at any depth. Use the
    same ``classes``, or the same folders, for train and val. Unreadable
    images are skipped, as in ``UnlabelledImages``.

    Args:
        pipeline: Transforms; the first one reads ``img_path``, the last one
            should be ``mmdistill_dense.PackLabel``.
        data_root: Folder that ``images`` is relative to.
        images: Folder of the class folders.
        classes: Names of the folders to use, in the order of their numbers:
            a list, or a text file with one on each line. Default: all.
        kwargs: ``max_unreadable`` and arguments of MMEngine's
            ``BaseDataset``.

    Raises:
        FileNotFoundError: If a folder or the file of ``classes`` is missing.
        ValueError: If an image lies in no class folder, a class has no
            image, or ``classes`` is no list of different names.
    """

    def __init__(
        self,
        pipeline: Sequence[dict | Callable] = (),
        data_root: str = '',
        images: str = '',
        classes: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(images, str) or 'ann_file' in kwargs:
            raise ValueError(
                'LabelledImages: images must be one folder, with a folder '
                'per class in it, and ann_file is not read; got '
                f'images={images!r}.'
            )
        self.classes = None if classes is None else _read_class_names(classes)
        super().__init__(pipeline, data_root, images, **kwargs)

    def load_data_list(self) -> list[dict]:
        folder = os.path.join(self.data_root, *self.images)
        paths = find_images(folder)
        owners = [_class_folder(path, folder) for path in paths]
        classes = self.classes or _class_folders(folder)
        _check_classes(folder, classes, owners)
        self._metainfo['classes'] = tuple(classes)
        numbers = {name: number for number, name in enumerate(classes)}
        return [
            dict(img_path=path, gt_label=numbers[owner])
            for path, owner in zip(paths, owners, strict=True)
            if owner in numbers
        ]

    def get_data_info(self, idx: int) -> dict:
        """Path, ``gt_label`` and ``num_classes`` of an image."""
        classes = self._metainfo['classes']
        return dict(super().get_data_info(idx), num_classes=len(classes))


@TRANSFORMS.register_module()
class PackLabel(BaseTransform):
    """Pack an image and its class as ``inputs`` and ``data_samples``.

    ``inputs`` is a uint8 tensor (3, H, W), BGR as it was read;
    ``data_samples`` is a ``BaseDataElement`` with ``gt_label``, (1,), and in
    its metainfo ``img_path``, ``sample_idx``, ``ori_shape``, ``img_shape``
    and ``num_classes``.

    Raises:
        ValueError: In use, if the image has no ``gt_label``.
    """

    KEYS = ('img_path', 'sample_idx', 'ori_shape', 'img_shape', 'num_classes')

    def transform(self, results: dict) -> dict:
        if 'gt_label' not in results:
            raise ValueError(
                'PackLabel: the image has no gt_label. Read the images with '
                'mmdistill_dense.LabelledImages.'
            )
        # (H, W, 3) -> (3, H, W)
        image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
        meta = {key: results[key] for key in self.KEYS if key in results}
        label = torch.tensor([results['gt_label']])
        return dict(
            inputs=torch.from_numpy(image),
            data_samples=BaseDataElement(metainfo=meta, gt_label=label),
        )


def _read_class_names(classes: str | Sequence[str]) -> list[str]:
    """Names of classes from a list or from the lines of a file."""
    if isinstance(classes, str):
        if not os.path.isfile(classes):
            raise FileNotFoundError(
                f'LabelledImages: the file of classes {classes!r} does not '
                f'exist (from {os.getcwd()!r}). Set classes to a text file '
                'with one name on each line, or to a list.'
            )
        lines = Path(classes).read_text(encoding='utf-8').splitlines()
        classes = [line.strip() for line in lines if line.strip()]
    doubled = [name for name, times in Counter(classes).items() if times > 1]
    if not classes or doubled:
        raise ValueError(
            'LabelledImages: classes must be different names, at least one; '
            f'got {len(classes)}, of them more than once: {doubled[:3]}.'
        )
    return list(classes)


def _class_folder(path: str, folder: str) -> str:
    """The first folder below ``folder``; empty for an image in it."""
    first, separator, _ = os.path.relpath(path, folder).partition(os.sep)
    return first if separator else ''


def _class_folders(folder: str) -> list[str]:
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_dir() and not entry.name.startswith('.')
    )


def _check_classes(folder: str, classes: list[str], owners: list[str]) -> None:
    if '' in owners:
        raise ValueError(
            f'LabelledImages: {owners.count("")} images lie directly in '
            f'{folder!r}, in no class folder. Expected one folder per class; '
            "ImageNet's val images must be sorted into folders first."
        )
    if empty := sorted(set(classes).difference(owners)):
        raise ValueError(
            f'LabelledImages: {len(empty)} of {len(classes)} classes have no '
            f'image below {folder!r}: {", ".join(empty[:3])}'
            f'{", ..." if empty[3:] else ""}. Usual cause: an archive that '
            'is not unpacked, or classes of other data.'
        )
