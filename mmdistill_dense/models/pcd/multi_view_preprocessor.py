"""Data preprocessor for batches of views."""

import logging
from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmdistill_dense.registry import MODELS

USUAL_CAUSE = (
    'Usual cause: a pipeline without mmdistill_dense.MultiView and '
    'mmdistill_dense.PackViews.'
)


@MODELS.register_module()
class MultiViewPreprocessor(BaseDataPreprocessor):
    """Moves views to the model's device, stacks and normalises them.

    It takes batches of ``default_collate`` and of ``pseudo_collate``; the
    first is faster, as it stacks in the loader's workers. It takes two or
    more views; ``PixelContrastDistiller`` needs exactly two.

    The first three arguments have no defaults, as they must be those that
    the teacher was trained with. Use ImageNet's mean and std of RGB together
    with ``bgr_to_rgb=True``.

    Args:
        mean: Mean of each channel, 0-255, in the order after ``bgr_to_rgb``.
            With ``mean=None, std=None`` images are not normalised, which is
            logged.
        std: Standard deviation of each channel, likewise.
        bgr_to_rgb: Whether to reverse the channels. Images are read as BGR.
        non_blocking: Whether copies to the device may overlap with work.

    Raises:
        TypeError: If mean, std or bgr_to_rgb is left out.
        ValueError: If only one of mean and std is None, or they are not
            three numbers each, std above 0.
    """

    def __init__(
        self,
        *,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        bgr_to_rgb: bool,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        self.bgr_to_rgb = bgr_to_rgb
        self.normalises = mean is not None or std is not None
        if self.normalises:
            _check_statistics(mean, std)
            self.register_buffer('mean', _per_channel(mean), persistent=False)
            self.register_buffer('std', _per_channel(std), persistent=False)
        else:
            print_log(
                'MultiViewPreprocessor: mean and std are None, so the views '
                'are not normalised and stay in 0 to 255.',
                logger='current',
                level=logging.WARNING,
            )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Views (N, 3, H, W) in float32, ready for the model.

        Args:
            data: ``inputs`` is a list of views, each a tensor (N, 3, H, W) or
                N tensors (3, H, W); ``data_samples`` passes through.
            training: Not used.

        Raises:
            ValueError: If ``inputs`` is not two or more views of one size.
        """
        views = [self._view(view) for view in _check_views(data)]
        shapes = [tuple(view.shape) for view in views]
        if len(set(shapes)) > 1:
            raise ValueError(
                'MultiViewPreprocessor: all views must have one shape '
                f'(N, 3, H, W), got {shapes}. Give the RandomResizedCrop of '
                'every view the same size.'
            )
        samples = self.cast_data(data.get('data_samples'))
        return dict(inputs=views, data_samples=samples)

    def _view(self, view: Tensor | Sequence[Tensor]) -> Tensor:
        view = self.cast_data(_stack(view))
        if self.bgr_to_rgb:
            view = view.flip(1)
        view = view.float()
        return (view - self.mean) / self.std if self.normalises else view


def _check_statistics(mean: object, std: object) -> None:
    for values in (mean, std):
        if values is None or len(values) != 3:
            raise ValueError(
                'MultiViewPreprocessor: mean and std must be three numbers '
                f'each, or both None, got mean={mean} and std={std}.'
            )
    if min(std) <= 0:
        raise ValueError(
            f'MultiViewPreprocessor: std must be above 0, got {std}.'
        )


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(3, 1, 1)


def _check_views(data: dict) -> Sequence:
    inputs = data.get('inputs') if isinstance(data, dict) else None
    if not isinstance(inputs, (list, tuple)):
        raise ValueError(
            'MultiViewPreprocessor: inputs must be a list of views, got '
            f'{type(inputs).__name__}. {USUAL_CAUSE}'
        )
    if len(inputs) < 2:
        raise ValueError(
            'MultiViewPreprocessor: expected two views or more, got '
            f'{len(inputs)}. {USUAL_CAUSE}'
        )
    return inputs


def _stack(view: Tensor | Sequence[Tensor]) -> Tensor:
    """Stack one view of every image: (N, 3, H, W)."""
    if not isinstance(view, Tensor):
        shapes = {tuple(image.shape) for image in view}
        if len(shapes) != 1:
            raise ValueError(
                'MultiViewPreprocessor: a view must have one size in all '
                f'images of a batch, got {sorted(shapes)}. End its pipeline '
                'with a fixed size, such as RandomResizedCrop gives.'
            )
        view = torch.stack(tuple(view))
    if view.ndim != 4 or view.shape[1] != 3:
        raise ValueError(
            'MultiViewPreprocessor: a view must have the shape (N, 3, H, W), '
            f'got {tuple(view.shape)}. {USUAL_CAUSE}'
        )
    return view
