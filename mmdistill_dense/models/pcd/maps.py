"""The last map of a backbone: its shape, stride and checks."""

from typing import Any

import torch
from torch import Tensor, nn

from ..hosts import FeatureSpec, spec_of
from ..utils import eval_mode, forked_rng


def last_map(outputs: Any, backbone: nn.Module) -> Tensor:
    """The last map of what a backbone returns, (N, C, H, W).

    Args:
        outputs: A map, or a list or tuple of maps.
        backbone: The backbone, for the message.

    Raises:
        ValueError: If it is no map.
    """
    last = outputs
    if isinstance(outputs, (list, tuple)) and outputs:
        last = outputs[-1]
    if isinstance(last, Tensor) and last.ndim == 4:
        return last
    got = (
        tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
    )
    raise ValueError(
        f'{type(backbone).__name__} must return maps of shape (N, C, H, W), '
        f"its last output is {got}. Set out_type='featmap' in a transformer "
        'of mmpretrain, output_cls_token=False in one of mmseg, and a stage '
        'in out_indices of a ResNet.'
    )


def map_spec(backbone: nn.Module, size: tuple[int, int]) -> FeatureSpec:
    """Channels and stride of a backbone's last map, from a dry run.

    The backbone runs in eval mode without gradients. Its mode and all random
    generators are restored afterwards.

    Args:
        backbone: The backbone, on any device.
        size: Height and width of the blank image, in pixels.

    Raises:
        RuntimeError: If it fails on such an image.
        ValueError: If it returns no map.
    """
    parameter = next(backbone.parameters(), torch.empty(()))
    image = parameter.new_zeros(1, 3, *size)
    with forked_rng(), eval_mode(backbone):
        try:
            outputs = backbone(image)
        except Exception as error:
            raise RuntimeError(
                f'the dry run of {type(backbone).__name__} on one blank image '
                f'of {size[0]}x{size[1]} pixels failed: {error}. If it needs '
                'images of another size, set input_size=(height, width).'
            ) from error
        return spec_of(last_map(outputs, backbone), size)


def check_views(inputs: object) -> None:
    """Check that the inputs are two views of a batch of images.

    Raises:
        TypeError: If they are not.
    """
    views = inputs if isinstance(inputs, (list, tuple)) else []
    tensors = [view for view in views if isinstance(view, Tensor)]
    got = [f'{tuple(t.shape)} of {t.dtype}' for t in tensors]
    two = len(views) == len(got) == 2 and got[0] == got[1]
    if not (two and tensors[0].ndim == 4 and tensors[0].is_floating_point()):
        raise TypeError(
            'expected two views of one shape (N, 3, H, W), floating point, '
            f'from the data preprocessor, got {type(inputs).__name__} with '
            f'{", ".join(got) or "no tensor"}. Let the '
            'pipeline end in mmdistill_dense.MultiView with two lists of '
            'transforms and mmdistill_dense.PackViews, and take '
            'mmdistill_dense.MultiViewPreprocessor.'
        )
