"""Images without labels, from folders or annotation files."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.dataset import BaseDataset

from mmdistill_dense.registry import DATASETS

from .image_files import find_images, listed_images
from .unreadable import (
    MAX_NAMED_IMAGES,
    UnreadableImages,
    check_share,
    is_code_error,
)


@DATASETS.register_module()
class UnlabelledImages(BaseDataset):
    """Images of a folder, of a tree, or of a COCO annotation file.

    ``images='train'`` reads a plain folder, an ImageNet tree
    (``train/n01440764/*.JPEG``) or the images of a segmentation data set;
    ``ann_file`` reads those that an annotation file of COCO names. They are
    sorted by path; labels are not read.

    The first transform of the pipeline reads an image. An image that cannot
    be read is logged and counted, and the next readable one is used instead.
    The run ends if too many are unreadable, or if the first 20 of a process
    all fail. Workers of one loader share a count; each process of a
    distributed run has its own.

    Args:
        pipeline: Transforms; the first one reads ``img_path``.
        data_root: Folder that ``images`` and ``ann_file`` are relative to.
        images: Folder of the images, searched at any depth, or several. With
            ``ann_file``, the one folder that its names are relative to.
        ann_file: Annotation file of COCO.
        max_unreadable: Largest share of the images that may be unreadable, 0
            to 1. Above 0 at least one may be; 0 allows none.
        kwargs: ``indices``, ``lazy_init``, ``serialize_data``, ``metainfo``
            and further arguments of MMEngine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If a folder, ``ann_file`` or an image named there
            is missing.
        ValueError: If there is no image, ``ann_file`` is no annotation file
            of COCO, or an argument is out of its range.
        RuntimeError: In use, if too many images are unreadable, or the
            first transform does not read images or has an error in its code.
    """

    def __init__(
        self,
        pipeline: Sequence[dict | Callable] = (),
        data_root: str = '',
        images: str | Sequence[str] = '',
        ann_file: str = '',
        max_unreadable: float = 0.01,
        **kwargs: Any,
    ) -> None:
        self.images = [images] if isinstance(images, str) else list(images)
        self.max_unreadable = check_share(max_unreadable)
        if ann_file and len(self.images) != 1:
            raise ValueError(
                'UnlabelledImages: with ann_file, images must be the one '
                'folder that its file names are relative to, got '
                f'{images!r}.'
            )
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix={},
            pipeline=list(pipeline),
            **kwargs,
        )

    def full_init(self) -> None:
        super().full_init()
        self._reset_unreadable()

    def load_data_list(self) -> list[dict]:
        folders = [os.path.join(self.data_root, f) for f in self.images]
        if self.ann_file:
            paths = listed_images(self.ann_file, folders[0])
        else:
            paths = [path for f in folders for path in find_images(f)]
        return [dict(img_path=path) for path in paths]

    def prepare_data(self, idx: int) -> Any:
        """Result of the pipeline for an image, or the next readable one.

        Raises:
            RuntimeError: If too many images are unreadable, or the first
                transform has an error in its code.
        """
        while True:
            image = self.get_data_info(idx % len(self))
            index, path = image['sample_idx'], image['img_path']
            if index not in self.unreadable:
                read, reason = self._read(image)
                if read is not None:
                    self.unreadable.any_read = True
                    return self._transform(read)
                self.unreadable.add(index, path, reason)
            self._check_unreadable()
            idx += 1

    def _read(self, image: dict) -> tuple[dict | None, str]:
        """Result of the first transform, or None and the reason."""
        path = image['img_path']
        try:
            for load in self.pipeline.transforms[:1]:
                image = load(image)
        except Exception as error:  # decoders raise many kinds
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            if is_code_error(error):
                raise RuntimeError(
                    f'{type(self).__name__}: {type(load).__name__}, the first '
                    f'transform of the pipeline, failed on {path} with '
                    f'{reason}. That is a mistake in it, or in its settings, '
                    'not in the image. It must read img_path, as '
                    'LoadImageFromFile does.'
                ) from error
            return None, reason
        return image, 'the reader returned None' if image is None else ''

    def _check_unreadable(self) -> None:
        if self.unreadable.too_many or self.unreadable.only_failures:
            first = self.unreadable.indices[:MAX_NAMED_IMAGES]
            images = [self.get_data_info(index) for index in first]
            paths = [image['img_path'] for image in images]
            # Another worker may have recorded it, so it is read once more.
            reason = self._read(images[0])[1] or 'it can be read by now'
            raise RuntimeError(self.unreadable.message(paths, reason))

    def _transform(self, image: dict | None) -> Any:
        for transform in self.pipeline.transforms[1:]:
            image = transform(image)
            if image is None:
                return None
        return image

    def get_subset_(self, indices: int | Sequence[int]) -> None:
        super().get_subset_(indices)
        self._reset_unreadable()

    def get_subset(self, indices: int | Sequence[int]) -> 'UnlabelledImages':
        subset = super().get_subset(indices)
        subset._reset_unreadable()
        return subset

    def _reset_unreadable(self) -> None:
        """Start a new count, once the number of images is known."""
        self.unreadable = UnreadableImages(len(self), self.max_unreadable)
