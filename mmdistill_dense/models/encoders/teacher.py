"""A frozen encoder of any package as the teacher of a ``DenseDistiller``."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmdistill_dense.registry import MODELS

from ..hosts import InputAdapter, InputForm
from ..teachers import FrozenTeacher
from .encoder import Encoder


@MODELS.register_module()
class EncoderModel(nn.Module):
    """An encoder with what recorders and inspection expect of a model.

    Args:
        backbone: Config of an :class:`Encoder`.
    """

    def __init__(self, backbone: Mapping) -> None:
        super().__init__()
        self.backbone: Encoder = MODELS.build(backbone)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps (N, C, h, w) of images (N, in_channels, H, W)."""
        return self.backbone(inputs)

    def forward(
        self, inputs: Tensor, samples: Any = None, mode: str = 'tensor'
    ) -> tuple[Tensor, ...]:
        """The same, called as a model of OpenMMLab is."""
        return self.extract_feat(inputs)


@MODELS.register_module()
class EncoderTeacher(FrozenTeacher):
    """A frozen :class:`Encoder`, which sees images in its own form.

    A term records ``'backbone'``, its maps, or a module inside,
    ``'backbone.model.<path>'``. It is frozen, in eval mode, without
    gradients, strictly loaded, shared by deep copies and absent from
    checkpoints, as any teacher.

    Args:
        name: Its name in the config, for messages.
        model: The network, see :class:`Encoder`.
        checkpoint: File or address of its weights.
        layout: Key layout of the file, see :class:`Encoder`.
        mean: Mean of each channel of the images that it was trained with,
            from 0 to 255, in its own order of channels.
        std: Standard deviation, likewise.
        bgr_to_rgb: Whether channels of loaded images, BGR, are reversed.
        pad_value: Value of padded pixels, after normalisation.
        in_channels: Channels of its images: those of the student's, or 1 (the
            luminance of three), or 3 (one repeated).
        allow: Glob patterns of keys that may differ from the checkpoint's.
        **settings: ``method``, ``arguments``, ``output``, ``nodes``,
            ``drop``, ``multiple`` and ``scale`` of :class:`Encoder`, and the
            switches of ``SpeedSwitches``.
    """

    #: Settings that are passed on to the encoder.
    encoder_settings = frozenset(
        {'model', 'method', 'arguments', 'output', 'nodes', 'drop'}
        | {'in_channels', 'multiple', 'scale'}
    )
    own_settings = encoder_settings | {
        *('checkpoint', 'layout', 'allow'),
        *('mean', 'std', 'bgr_to_rgb', 'pad_value'),
    }
    settings = own_settings | FrozenTeacher.switch_names
    required = 'model'

    def __init__(
        self,
        name: str,
        model: Mapping,
        checkpoint: str | None = None,
        layout: str | None = None,
        mean: float | Sequence[float] = (123.675, 116.28, 103.53),
        std: float | Sequence[float] = (58.395, 57.12, 57.375),
        bgr_to_rgb: bool = True,
        pad_value: float = 0.0,
        in_channels: int = 3,
        allow: str | Sequence[str] = (),
        **settings: Any,
    ) -> None:
        encoder: dict[str, Any] = dict(
            type='mmdistill_dense.Encoder',
            model=model,
            in_channels=in_channels,
            layout=layout,
        )
        for key in self.encoder_settings & settings.keys():
            encoder[key] = settings.pop(key)
        self._form = InputForm(
            _per_channel('mean', mean, in_channels),
            _per_channel('std', std, in_channels),
            bgr_to_rgb and in_channels == 3,
            float(pad_value),
        )
        cfg = dict(type='mmdistill_dense.EncoderModel', backbone=encoder)
        super().__init__(name, cfg, checkpoint, allow=allow, **settings)

    def _make_adapter(
        self, student: InputForm, model: nn.Module
    ) -> InputAdapter:
        return InputAdapter(student, self._form, convert=True)

    def _load_weights(self, model: EncoderModel) -> tuple[str, list[str]]:
        encoder = model.backbone
        encoder.checkpoint, encoder.allow = self.checkpoint, self.allow
        return encoder.load(f'teacher {self.name!r}'), []


def _per_channel(
    name: str, value: float | Sequence[float], channels: int
) -> tuple[float, ...]:
    """One number for each channel.

    Raises:
        ValueError: If there are more or fewer, or a deviation is 0.
    """
    numbers = [value] if isinstance(value, (int, float)) else list(value)
    if len(set(numbers)) == 1:
        numbers = numbers[:1] * channels
    if len(numbers) != channels or (name == 'std' and 0 in numbers):
        raise ValueError(
            f'{name} must be one number, or one for each of {channels} '
            f'channels, and no deviation of 0, got {value!r}.'
        )
    return tuple(map(float, numbers))
