"""Form of a model's images, and conversion to that of the teacher."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from mmdistill_dense.recorders import StopForward

from ..utils import eval_mode


def input_channels(model: nn.Module, size: tuple[int, int]) -> int:
    """Channels of the images that a model takes.

    Found at the first convolution that a pass calls, which need not be on the
    image itself: YOLOX's is on four pixels stacked. A model that calls none
    takes as many as its data preprocessor has means, or three.

    Args:
        model: A stock detector or segmentor.
        size: Height and width of a blank image, in pixels.
    """
    backbone = getattr(model, 'backbone', None)
    if hasattr(backbone, 'resizing'):
        return backbone.in_channels
    image = next(model.parameters()).new_zeros(1, 3, *size)
    found: list[float] = []

    def stop(module: Any, args: tuple) -> None:
        per_channel = args[0].shape[1] / image.shape[1]
        found.append(module.in_channels / per_channel)
        raise StopForward

    handles = [
        module.register_forward_pre_hook(stop)
        for module in model.modules()
        if isinstance(module, _ConvNd)
    ]
    # What fails here fails in the dry run too, where it is reported.
    with suppress(Exception, StopForward), eval_mode(model):
        model.extract_feat(image)
    for handle in handles:
        handle.remove()
    if found and found[0].is_integer():
        return int(found[0])
    mean = getattr(getattr(model, 'data_preprocessor', None), 'mean', None)
    return 3 if mean is None or mean.numel() == 1 else mean.numel()


@dataclass(frozen=True)
class InputForm:
    """Normalisation, channel order and padding of a data preprocessor.

    Args:
        mean: Mean of each channel, in the model's channel order.
        std: Standard deviation of each channel, likewise.
        swapped: Whether channels are reversed relative to the loaded image.
        pad_value: Value of padded pixels, after normalisation.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    swapped: bool
    pad_value: float

    @classmethod
    def of(cls, model: nn.Module, channels: int = 3) -> 'InputForm':
        """Read it from ``model.data_preprocessor`` of either host.

        Args:
            model: A stock model.
            channels: Channels of its images; only three are ever reversed.
        """
        preprocessor = getattr(model, 'data_preprocessor', None)
        # A semi-supervised model wraps that of its detectors.
        preprocessor = getattr(preprocessor, 'data_preprocessor', preprocessor)
        mean = std = None
        if getattr(preprocessor, '_enable_normalize', False):
            mean, std = preprocessor.mean, preprocessor.std
        swapped = getattr(
            preprocessor,
            '_channel_conversion',  # mmengine, mmdet
            getattr(preprocessor, 'channel_conversion', False),  # mmseg
        )
        pad = getattr(
            preprocessor, 'pad_value', getattr(preprocessor, 'pad_val', 0)
        )
        return cls(
            _per_channel(mean, 0.0, channels),
            _per_channel(std, 1.0, channels),
            bool(swapped) and channels == 3,
            float(pad),
        )

    def __str__(self) -> str:
        mean, std = (
            [round(x, 3) for x in values] for values in (self.mean, self.std)
        )
        order = 'reversed channels' if self.swapped else 'channels as loaded'
        return f'mean {mean}, std {std}, {order}, padding {self.pad_value:g}'


def _per_channel(
    values: Tensor | None, default: float, channels: int
) -> tuple[float, ...]:
    numbers = [default] if values is None else values.flatten().tolist()
    return tuple(numbers * channels if len(numbers) == 1 else numbers)


#: Weights of blue, green and red in the luminance (ITU-R BT.601).
_LUMA = torch.tensor([0.114, 0.587, 0.299], dtype=torch.float64)


class InputAdapter(nn.Module):
    """Convert a batch from the student's form to the teacher's.

    The student's normalisation is undone, the channel order changed, the
    teacher's normalisation applied and the padding set to the teacher's pad
    value. If both forms are equal, the batch is not changed.

    Args:
        student: Form of the inputs.
        teacher: Form of the outputs.
        convert: Whether three channels become one, their luminance, and one
            becomes three, the same thrice.

    Raises:
        ValueError: If they have another number of channels, and are not
            converted.
    """

    def __init__(
        self, student: InputForm, teacher: InputForm, convert: bool = False
    ) -> None:
        super().__init__()
        self.identical = student == teacher
        self.teacher = teacher
        channels = len(teacher.mean)
        _check_channels(len(student.mean), channels, convert)
        self.reverse = student.swapped != teacher.swapped
        self.pad_value = teacher.pad_value
        mean_s, std_s, mean_t, std_t = (
            torch.tensor(v, dtype=torch.float64)
            for v in (student.mean, student.std, teacher.mean, teacher.std)
        )
        self.to_grey = channels == 1 < len(mean_s)
        self.reverse &= not self.to_grey
        if self.reverse:
            mean_s, std_s = mean_s.flip(0), std_s.flip(0)
        scale = std_s / std_t
        shift = (mean_s - mean_t) / std_t
        if self.to_grey:
            luma = _LUMA.flip(0) if student.swapped else _LUMA
            scale, shift = luma * scale, luma * shift
        for name, value in (('scale', scale), ('shift', shift)):
            value = value.float().view(-1, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, inputs: Tensor, samples: list) -> Tensor:
        """Map images (N, C, H, W) to the teacher's form.

        They keep their size.

        ``samples[n].metainfo['img_shape']`` is the size of image n without
        padding; both hosts pad at the right and at the bottom.
        """
        if self.identical:
            return inputs
        x = inputs.flip(1) if self.reverse else inputs
        x = x * self.scale + self.shift
        if self.to_grey:
            x = x.sum(1, keepdim=True)
        for image, sample in zip(x, samples, strict=True):
            height, width = sample.metainfo.get('img_shape', x.shape[-2:])[:2]
            image[:, height:] = self.pad_value
            image[:, :, width:] = self.pad_value
        return x


def _check_channels(student: int, teacher: int, convert: bool) -> None:
    if student == teacher or (convert and {student, teacher} == {1, 3}):
        return
    allowed = ', or 1 and 3' if convert else ''
    raise ValueError(
        f'its images have {teacher} channels, and those of the student '
        f'{student}, expected equally many{allowed}. Give both the same '
        'in_channels, mean and std.'
    )
