"""mmseg's MobileNetV3 with stride 32, as in classifiers."""

from typing import Any

from torch import nn

from mmdistill_dense.registry import MODELS

_LAST_LAYER = dict(large=16, small=12)


@MODELS.register_module()
def MobileNetV3(
    arch: str = 'large',
    out_indices: tuple[int, ...] | None = None,
    **settings: Any,
) -> nn.Module:
    """Build mmseg's MobileNetV3 with strides instead of dilations.

    mmseg's own has stride 8, for segmentation. This is the same module with
    the same keys, so a checkpoint of one fits the other. Its strided
    convolutions pad at the right and at the bottom first, as in TensorFlow.

    Args:
        arch: ``'large'`` (960 channels last) or ``'small'`` (576).
        out_indices: Layers whose outputs are returned; default: the last
            one, the 1x1 convolution before a classifier's pooling.
        **settings: Further arguments of ``mmseg.MobileNetV3``.

    Returns:
        A module from images (N, 3, H, W) to a list of maps.

    Raises:
        ValueError: If ``arch`` is neither.
    """
    if arch not in _LAST_LAYER:
        raise ValueError(
            f"MobileNetV3: arch must be 'large' or 'small', got {arch!r}."
        )
    cfg = dict(
        type='mmseg.MobileNetV3',
        arch=arch,
        out_indices=out_indices or (_LAST_LAYER[arch],),
        **settings,
    )
    model = MODELS.build(cfg)
    for index, (*_, stride) in enumerate(model.arch_settings[arch]):
        block = getattr(model, f'layer{index + 1}')
        block.depthwise_conv.conv.stride = (stride, stride)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1):
            _undilate(module)
    return model


def _undilate(conv: nn.Conv2d) -> None:
    conv.dilation = (1, 1)
    # A strided convolution that pads in its forward has padding 0.
    if conv.padding != (0, 0):
        conv.padding = tuple(side // 2 for side in conv.kernel_size)
