"""Forms of each loss: this package's, the plain one, and the peer's if any.

Results label the package's own form with :data:`.arguments.PACKAGE`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmdistill_dense.functional import (
    channel_wise_divergence,
    masked_distance,
    pixel_contrast,
    pixel_wise_divergence,
    receptive_masks,
)

from . import BenchmarkError, peer, plain_losses
from .arguments import PACKAGE, PEER, Settings
from .precision import DTYPES, autocast, float32_products

#: Function of ``student`` and ``teacher``, maps of one level.
Loss = Callable[..., Tensor]
#: Function of channels and settings that returns losses by form.
Forms = Callable[[int, Settings], dict[str, Loss]]
#: Sum of a loss over all levels.
Value = Callable[[], Tensor]
Shape = tuple[int, int, int, int]
#: Number of receptive tokens, as for detectors.
TOKENS = 6
PLAIN = 'plain form'
#: Relative tolerance between forms of a loss, in full precision.
TOLERANCE = 1e-3


@dataclass
class Maps:
    """Inputs of a loss, by level.

    Attributes:
        student: Maps that require a gradient.
        teacher: Maps that do not.
    """

    student: list[Tensor]
    teacher: list[Tensor]

    @property
    def elements(self) -> int:
        """Of the student's maps."""
        return sum(x.numel() for x in self.student)

    @property
    def bytes(self) -> int:
        """Of the student's maps."""
        return self.elements * self.student[0].element_size()

    def grad(self, value: Value) -> object:
        """Gradient of a value with respect to the student's maps."""
        return torch.autograd.grad(value(), self.student)


def draw_maps(shapes: Sequence[Shape], settings: Settings) -> Maps:
    """Random normal maps of both models, in the precision of the run."""
    draw = _normal(settings)
    dtype = DTYPES.get(settings.precision, torch.float32)
    pairs = [[draw(*s).to(dtype), draw(*s).to(dtype)] for s in shapes]
    return Maps([x.requires_grad_() for x, _ in pairs], [x for _, x in pairs])


def _normal(settings: Settings) -> Callable[..., Tensor]:
    rng = torch.Generator().manual_seed(settings.seed)
    return lambda *shape: torch.randn(shape, generator=rng).to(settings.device)


def cwd(channels: int, settings: Settings) -> dict[str, Loss]:
    """Channel-wise divergence, tau 1."""
    losses: dict[str, Loss] = {
        PACKAGE: partial(channel_wise_divergence, tau=1.0),
        PLAIN: partial(plain_losses.channel_wise, tau=1.0),
    }
    if settings.peer:
        losses[PEER] = peer.channel_wise_loss(1.0)
    return losses


def pixel_wise(channels: int, settings: Settings) -> dict[str, Loss]:
    """Divergence over classes, tau 1."""
    return {
        PACKAGE: partial(pixel_wise_divergence, tau=1.0),
        PLAIN: partial(plain_losses.pixel_wise, tau=1.0),
    }


def maskd(channels: int, settings: Settings) -> dict[str, Loss]:
    """MasKD, from the teacher's map to the loss."""
    tokens = _normal(settings)(TOKENS, channels) / channels**0.5

    def distance(student: Tensor, teacher: Tensor) -> Tensor:
        masks = receptive_masks(teacher, tokens)
        return masked_distance(student=student, teacher=teacher, masks=masks)

    return {
        PACKAGE: distance,
        PLAIN: partial(plain_losses.masked, tokens=tokens),
    }


def contrast(
    channels: int, settings: Settings, queue_length: int
) -> dict[str, Loss]:
    """Pixel-wise contrast with a queue, tau 0.2."""
    queue = normalize(_normal(settings)(channels, queue_length), dim=0)
    return {
        PACKAGE: partial(pixel_contrast, queue=queue, tau=0.2),
        PLAIN: partial(plain_losses.contrast, queue=queue, tau=0.2),
    }


def values_of(
    forms: Forms, maps: Maps, settings: Settings
) -> dict[str, Value]:
    """Sums over the levels of maps, under autocast in low precision."""
    pairs = list(zip(maps.student, maps.teacher, strict=True))

    def summed(loss: Loss) -> Tensor:
        with autocast(settings.device, settings.precision):
            losses = [loss(student=s, teacher=t) for s, t in pairs]
            return torch.stack(losses).sum()

    losses = forms(maps.student[0].shape[1], settings)
    return {name: partial(summed, loss) for name, loss in losses.items()}


def check_forms(
    name: str, forms: Forms, shapes: Sequence[Shape], settings: Settings
) -> None:
    """Compare the values of all forms of a loss, in full precision.

    Raises:
        BenchmarkError: If they differ.
    """
    full = Settings(**{**vars(settings), 'precision': 'fp32'})
    with float32_products('fp32'):
        values = values_of(forms, draw_maps(shapes, full), full)
        check_equal(name, values, TOLERANCE)


@torch.no_grad()
def check_equal(name: str, values: dict[str, Value], tolerance: float) -> None:
    """Compare the values of all forms.

    Raises:
        BenchmarkError: If they differ.
    """
    found = {key: value().item() for key, value in values.items()}
    expected = found[PACKAGE]
    for key, value in found.items():
        if not abs(value - expected) <= tolerance * abs(expected) + 1e-7:
            raise BenchmarkError(
                f'{name}: {key} is {value:.6g} and {PACKAGE} {expected:.6g}, '
                f'which differ by more than {tolerance:g}: not the same loss, '
                'nothing is compared.'
            )
