"""Several views of one image, and their packing."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement

from mmdistill_dense.registry import TRANSFORMS

from .geometry import (
    check_tracked,
    check_unmodified,
    is_flipped,
    view_box,
)


@TRANSFORMS.register_module()
class MultiView(BaseTransform):
    """Apply several pipelines to an image, one per view.

    The position of a view is tracked through
    ``mmdistill_dense.RandomResizedCrop``, one horizontal ``RandomFlip`` and
    resizing, in any order. Other crops, padding, rotations and the like do
    not record what they do and are refused by name. Before ``MultiView``,
    images may only be read and resized (or cropped by
    ``mmdistill_dense.RandomResizedCrop``).

    Replaces ``img`` by a list of images (H, W, 3), and adds ``views``: for
    each a dict of ``box`` (left, top, right, bottom in pixels of the original
    image) and ``flip`` (whether the content of the box is mirrored).

    Args:
        transforms: Two or more pipelines, one per view.

    Raises:
        ValueError: If there are fewer than two pipelines, or one of them
            moves pixels without recording it or flips twice. In use, if the
            image was flipped, cropped or padded before.
    """

    def __init__(self, transforms: Sequence[Sequence[dict | Callable]]):
        if len(transforms) < 2 or any(
            isinstance(pipeline, dict) or callable(pipeline)
            for pipeline in transforms
        ):
            raise ValueError(
                'MultiView: transforms must be two or more lists of '
                f'transforms, one list per view, got {transforms!r}.'
            )
        self.pipelines = [Compose(list(p)) for p in transforms]
        for pipeline in self.pipelines:
            check_tracked(pipeline.transforms)

    def transform(self, results: dict) -> dict | None:
        check_unmodified(results)
        # A copy, as transforms that work in place would change other views.
        views = [
            pipeline(dict(results, img=results['img'].copy()))
            for pipeline in self.pipelines
        ]
        if None in views:  # BaseDataset then takes another image
            return None
        results['img'] = [view['img'] for view in views]
        results['views'] = [
            dict(box=view_box(view), flip=is_flipped(view)) for view in views
        ]
        return results


@TRANSFORMS.register_module()
class PackViews(BaseTransform):
    """Pack the views of ``MultiView`` as ``inputs`` and ``data_samples``.

    ``inputs`` is a list of uint8 tensors (3, H, W), BGR as they were read;
    ``data_samples`` is a ``BaseDataElement`` whose metainfo has ``img_path``,
    ``ori_shape``, ``img_shape`` (of the first view) and ``views``.

    Args:
        meta_keys: Further keys of the results for the metainfo.

    Raises:
        ValueError: In use, if ``MultiView`` does not come before.
    """

    KEYS = ('img_path', 'sample_idx', 'ori_shape', 'views')

    def __init__(self, meta_keys: Sequence[str] = ()) -> None:
        self.keys = (*self.KEYS, *meta_keys)

    def transform(self, results: dict) -> dict:
        if 'views' not in results:
            raise ValueError(
                'PackViews: there are no views to pack. Put '
                'mmdistill_dense.MultiView before it in the pipeline.'
            )
        meta = {key: results[key] for key in self.keys if key in results}
        meta['img_shape'] = results['img'][0].shape[:2]
        return dict(
            inputs=[_to_tensor(view) for view in results['img']],
            data_samples=BaseDataElement(metainfo=meta),
        )


def _to_tensor(img: np.ndarray) -> torch.Tensor:
    # (H, W, 3) -> (3, H, W)
    return torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1)))
