"""Convert the student's batch to the input form of the teacher."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


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
    def of(cls, model: nn.Module) -> 'InputForm':
        """Read it from ``model.data_preprocessor`` of either host."""
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
            _per_channel(mean, 0.0),
            _per_channel(std, 1.0),
            bool(swapped),
            float(pad),
        )

    def __str__(self) -> str:
        mean, std = (
            [round(x, 3) for x in values] for values in (self.mean, self.std)
        )
        order = 'reversed channels' if self.swapped else 'channels as loaded'
        return f'mean {mean}, std {std}, {order}, padding {self.pad_value:g}'


def _per_channel(values: Tensor | None, default: float) -> tuple[float, ...]:
    if values is None:
        return (default,) * 3
    numbers = values.flatten().tolist()
    return tuple(numbers if len(numbers) == 3 else numbers * 3)


class InputAdapter(nn.Module):
    """Convert a batch from the student's form to the teacher's.

    The student's normalisation is undone, the channel order changed, the
    teacher's normalisation applied and the padding set to the teacher's pad
    value. If both forms are equal, the batch is not changed.

    Args:
        student: Form of the inputs.
        teacher: Form of the outputs.
    """

    def __init__(self, student: InputForm, teacher: InputForm) -> None:
        super().__init__()
        self.identical = student == teacher
        self.teacher = teacher
        self.reverse = student.swapped != teacher.swapped
        self.pad_value = teacher.pad_value
        order = [2, 1, 0] if self.reverse else [0, 1, 2]
        mean_s, std_s, mean_t, std_t = (
            torch.tensor(v, dtype=torch.float64)
            for v in (student.mean, student.std, teacher.mean, teacher.std)
        )
        scale = std_s[order] / std_t
        shift = (mean_s[order] - mean_t) / std_t
        for name, value in (('scale', scale), ('shift', shift)):
            value = value.float().view(3, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def forward(self, inputs: Tensor, samples: list) -> Tensor:
        """Map images (N, 3, H, W) to the teacher's form, same shape.

        ``samples[n].metainfo['img_shape']`` is the size of image n without
        padding; both hosts pad at the right and at the bottom.
        """
        if self.identical:
            return inputs
        x = inputs.flip(1) if self.reverse else inputs
        x = x * self.scale + self.shift
        for image, sample in zip(x, samples, strict=True):
            height, width = sample.metainfo.get('img_shape', x.shape[-2:])[:2]
            image[:, height:] = self.pad_value
            image[:, :, width:] = self.pad_value
        return x
