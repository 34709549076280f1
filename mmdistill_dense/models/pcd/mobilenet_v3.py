"""mmseg's MobileNetV3 as a classifier has it: stride 32."""

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
    """Build mmseg's MobileNetV3 with strides in place of its dilations.

    mmseg's own has stride 8, for segmentation. This is the same module with
    the same keys, so a checkpoint of one fits the other. Its strided
    convolutions pad at the right and at the bottom first, as TensorFlow's.

    Args:
        arch: ``'large'`` (960 channels last) or ``'small'`` (576).
        out_indices: Layers that give an output; default: the last one, the
            1x1 convolution before a classifier's pooling.
        **settings: Others of ``mmseg.MobileNetV3``.

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
    # One that pads as it runs, for its stride, has no padding of its own.
    if conv.padding != (0, 0):
        conv.padding = tuple(side // 2 for side in conv.kernel_size)
