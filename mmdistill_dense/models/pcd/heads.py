"""Projection heads of self-supervised encoders, from vectors to vectors."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from ..encoders.layouts import Layout

HeadCfg = dict[str, Any] | Sequence[dict[str, Any]] | None


def build_head(
    head: HeadCfg, layout: Layout, channels: int, keep_last_bn: bool
) -> nn.Sequential:
    """Build the projection head of a teacher, with random weights.

    Args:
        head: ``None`` for the layout's own; ``dict(widths=..., bias=...)``
            for its form in other sizes; or its layers one by one, each a
            dict with the ``type`` of a layer of ``torch.nn``.
        layout: Layout of the file.
        channels: Dimension of the input vectors.
        keep_last_bn: Whether the head ends in batch norm without affine
            parameters.

    Raises:
        ValueError: If the head cannot be built.
    """
    if head is not None and not isinstance(head, dict):
        layers = [_build_layer(i, layer) for i, layer in enumerate(head)]
    else:
        layers = _mlp(channels, **_widths_and_biases(head or {}, layout))
    if not keep_last_bn:
        return nn.Sequential(*layers)
    own = head is None or isinstance(head, dict)
    if not (own and layout.last_bn):
        raise ValueError(
            'teacher.keep_last_bn=True needs a layout whose head ends in '
            'batch norm (MoCo v3), and a head that is not listed layer by '
            'layer: put the BatchNorm1d in the list.'
        )
    return nn.Sequential(
        *layers, nn.BatchNorm1d(layers[-1].out_features, affine=False)
    )


def _widths_and_biases(
    head: dict[str, Any], layout: Layout
) -> dict[str, Sequence]:
    unknown = head.keys() - {'widths', 'bias'}
    if unknown:
        raise ValueError(
            f'teacher.head has unknown settings {sorted(unknown)}: expected '
            "widths and bias, or a list of dict(type='Linear', ...)."
        )
    widths = tuple(head.get('widths', layout.widths))
    bias = head.get('bias', layout.bias or False)
    biases = (bias,) * len(widths) if isinstance(bias, bool) else tuple(bias)
    if len(biases) != len(widths):
        raise ValueError(
            f'teacher.head has {len(widths)} widths, {widths}, and '
            f'{len(biases)} biases, {biases}: give one bias for each, or one '
            'for all: bias=False.'
        )
    return dict(widths=widths, biases=biases)


def _mlp(
    channels: int, widths: Sequence[int], biases: Sequence[bool]
) -> list[nn.Module]:
    """Linear layers with batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    for width, bias in zip(widths, biases, strict=True):
        if layers:
            layers += [nn.BatchNorm1d(channels), nn.ReLU()]
        layers.append(nn.Linear(channels, width, bias=bias))
        channels = width
    return layers


def _build_layer(index: int, layer: dict[str, Any]) -> nn.Module:
    settings = dict(layer)
    kind = getattr(nn, str(settings.pop('type', None)), None)
    try:
        return kind(**settings)
    except TypeError as error:
        raise ValueError(
            f'teacher.head[{index}], {dict(layer)}, cannot be built: {error}. '
            "Expected a layer of torch.nn, such as dict(type='Linear', "
            'in_features=2048, out_features=256).'
        ) from error


def student_head_cfg(
    head: nn.Sequential, layout: Layout, channels: int
) -> dict[str, Any]:
    """Sizes of the student's projector and predictor, as in the teacher.

    Args:
        head: The teacher's head. If it has no linear layer, the student's
            widths are (4096, ``channels``).
        layout: Layout of the file.
        channels: Channels of the teacher's output.

    Returns:
        ``projector``, ``predictor`` and ``bias`` of a ``PixelHead``.
    """
    linear = [m for m in head.modules() if isinstance(m, nn.Linear)]
    if not linear:
        widths, biases = (4096, channels), (False, False)
    else:
        # The first ones and the last: the student may have fewer layers.
        early = (layout.student_depth or len(linear)) - 1
        linear = [*linear[:-1][:early], linear[-1]]
        widths = tuple(layer.out_features for layer in linear)
        biases = tuple(layer.bias is not None for layer in linear)
    bias = biases[0] if len(set(biases)) == 1 else biases
    return dict(projector=widths, predictor=widths, bias=bias)
