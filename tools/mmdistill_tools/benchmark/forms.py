"""Forms of each loss: ours, the plain one, and the peer's where it has one.

A form is a function of nothing that gives the value, summed over levels; its
inputs are drawn before.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

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

from . import peer, reference
from .contenders import DTYPES
from .settings import Settings

Value = Callable[[], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
Shape = tuple[int, int, int, int]
#: Receptive tokens, as for detectors.
TOKENS = 6
PLAIN, PEER = 'plain form', 'mmrazor'


@dataclass
class Maps:
    """Inputs of a loss, by level.

    Attributes:
        student: Maps that want a gradient.
        teacher: Maps that want none.
    """

    student: list[Tensor]
    teacher: list[Tensor]

    @property
    def bytes(self) -> int:
        """Of the student's maps."""
        return sum(x.numel() * x.element_size() for x in self.student)

    @property
    def elements(self) -> int:
        """Of the student's maps."""
        return sum(x.numel() for x in self.student)

    @property
    def channels(self) -> int:
        """Of each level."""
        return self.student[0].shape[1]


def draw_maps(shapes: Sequence[Shape], settings: Settings) -> Maps:
    """Normal maps of both sides, in the run's precision."""
    rng = torch.Generator().manual_seed(settings.seed)
    kind = DTYPES.get(settings.precision, torch.float32)
    pairs = [
        [_normal(shape, rng, settings).to(kind) for _ in range(2)]
        for shape in shapes
    ]
    return Maps(
        [ours.requires_grad_() for ours, _ in pairs],
        [theirs for _, theirs in pairs],
    )


def _normal(
    shape: Sequence[int], rng: torch.Generator, settings: Settings
) -> Tensor:
    return torch.randn(tuple(shape), generator=rng).to(settings.device)


def train(value: Value, maps: Maps) -> object:
    """Forward and backward, to the student's maps."""
    return torch.autograd.grad(value(), maps.student)


def cwd(maps: Maps, settings: Settings) -> dict[str, Value]:
    """Channel-wise divergence, tau 1."""

    def ours(s: Tensor, t: Tensor) -> Tensor:
        return channel_wise_divergence(student=s, teacher=t, tau=1.0)

    losses: dict[str, Loss] = {
        'ours': ours,
        PLAIN: lambda s, t: reference.channel_wise(s, t, 1.0),
    }
    if settings.peer:
        losses[PEER] = peer.channel_wise_loss(1.0)
    return _over(maps, settings, losses)


def pixel_wise(maps: Maps, settings: Settings) -> dict[str, Value]:
    """Divergence over classes, tau 1."""

    def ours(s: Tensor, t: Tensor) -> Tensor:
        return pixel_wise_divergence(student=s, teacher=t, tau=1.0)

    losses: dict[str, Loss] = {
        'ours': ours,
        PLAIN: lambda s, t: reference.pixel_wise(s, t, 1.0),
    }
    return _over(maps, settings, losses)


def maskd(maps: Maps, settings: Settings) -> dict[str, Value]:
    """MasKD, from the teacher's map to the loss."""
    rng = torch.Generator().manual_seed(settings.seed)
    tokens = _normal((TOKENS, maps.channels), rng, settings)
    tokens = tokens / maps.channels**0.5

    def ours(s: Tensor, t: Tensor) -> Tensor:
        masks = receptive_masks(t, tokens)
        return masked_distance(student=s, teacher=t, masks=masks)

    losses: dict[str, Loss] = {
        'ours': ours,
        PLAIN: lambda s, t: reference.masked(s, t, tokens),
    }
    return _over(maps, settings, losses)


def contrast(
    maps: Maps, settings: Settings, queue_length: int
) -> dict[str, Value]:
    """Pixel-wise contrast with a queue, tau 0.2."""
    rng = torch.Generator().manual_seed(settings.seed)
    queue = _normal((maps.channels, queue_length), rng, settings)
    queue = normalize(queue, dim=0)

    def ours(s: Tensor, t: Tensor) -> Tensor:
        return pixel_contrast(student=s, teacher=t, queue=queue, tau=0.2)

    losses: dict[str, Loss] = {
        'ours': ours,
        PLAIN: lambda s, t: reference.contrast(s, t, queue, 0.2),
    }
    return _over(maps, settings, losses)


def _over(
    maps: Maps, settings: Settings, losses: dict[str, Loss]
) -> dict[str, Value]:
    """Sum losses over levels, under autocast in low precision."""
    pairs = list(zip(maps.student, maps.teacher, strict=True))
    low = DTYPES.get(settings.precision)

    def summed(loss: Loss) -> Value:
        def value() -> Tensor:
            with _autocast(settings.device, low):
                return torch.stack([loss(s, t) for s, t in pairs]).sum()

        return value

    return {name: summed(loss) for name, loss in losses.items()}


def _autocast(device: str, low: torch.dtype | None) -> torch.autocast:
    return torch.autocast(device, low) if low else nullcontext()
