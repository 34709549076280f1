"""A term's weight, such that its gradient is a share of the task's."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn

from mmdistill_dense.functional.checks import check_int, check_not_negative
from mmdistill_dense.functional.precision import full_precision

from .balance import full_digits

#: Steps that are measured one after another, at the begin of a term.
_FIRST = 30
#: Part of the average that the measurements before the last one make up.
_MOMENTUM = 0.9
#: Scale of a loss in fp16 autocast, so that small gradients do not vanish.
_FP16_SCALE = 1024.0


class Share(nn.Module):
    """Weight that makes a term's gradient ``value`` times the task's.

    Measured is the ratio of two L2 norms: of the gradient of the term, after
    its level weights and before its schedule, and of that of all losses of
    the student, on the student's parameters that both reach; of the mean
    over processes. The weight is ``value`` divided by the average ratio, in
    which the last measurement counts a tenth. The average is in checkpoints.

    A measured step costs one more backward pass of the task and one of the
    term. Measured are the first 30 steps of a term, and one in ``interval``;
    one alone says little, as the ratio is another for each batch.

    Args:
        value: Gradient of the term in relation to the task's, not negative;
            0 disables the term.
        interval: Iterations between two measurements, at least 1.

    Raises:
        ValueError: If a setting is out of range.
    """

    average: Tensor

    def __init__(self, value: float, interval: int = 10) -> None:
        super().__init__()
        check_not_negative('share', value=value)
        check_int('share: interval', interval, 1)
        self.value, self.interval = value, interval
        # Weighted sum of ratios, sum of the weights, number of measurements.
        self.register_buffer('average', torch.zeros(3))
        #: The last one, without waiting for a device.
        self._count = 0

    def due(self, iteration: int) -> bool:
        """Whether to measure in an iteration, counted from 0."""
        return self._count < _FIRST or iteration % self.interval == 0

    @torch.no_grad()
    def update(self, ratio: Tensor) -> None:
        """Add a measurement; one that is 0, inf or NaN is left out.

        Args:
            ratio: Norm of the term's gradient divided by the task's.
        """
        self._count += 1
        ratio = ratio.to(self.average)
        kept = _MOMENTUM * self.average[:2]
        new = torch.stack([ratio, torch.ones_like(ratio)])
        usable = torch.isfinite(ratio) & (ratio > 0)
        added = torch.where(
            usable, kept + (1 - _MOMENTUM) * new, self.average[:2]
        )
        count = torch.full_like(ratio, self._count)
        self.average.copy_(torch.cat([added, count[None]]))

    @property
    def weight(self) -> Tensor:
        """The term's weight, a scalar; 0 while nothing is measured."""
        total, parts = self.average[0], self.average[1]
        usable = total > 0
        safe = torch.where(usable, total, torch.ones_like(total))
        return torch.where(usable, self.value * parts / safe, 0 * total)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._count = int(self.average[2])

    def extra_repr(self) -> str:
        return f'{self.value:g} of the gradient of the task'


def build_share(setting: Any, loss_weight: float) -> Any:
    """Build the share of a term; ``None`` without one.

    Args:
        setting: ``share`` of a term: a number, or
            ``dict(value=..., interval=...)``.
        loss_weight: Weight of the term's loss, which must be 1.

    Raises:
        ValueError: If the setting has none of these forms, or if the loss
            has a weight of its own.
    """
    if setting is None:
        return None
    if isinstance(setting, (int, float)) and not isinstance(setting, bool):
        setting = dict(value=setting)
    known = isinstance(setting, Mapping) and 'value' in setting
    if not known or not set(setting) <= {'value', 'interval'}:
        raise ValueError(
            'share must be a number, the gradient of the term in relation to '
            f"the task's, or dict(value=..., interval=...), got {setting!r}."
        )
    if loss_weight != 1:
        raise ValueError(
            f'share finds the weight of the term, but loss_weight is '
            f'{loss_weight}. Leave out one of the two.'
        )
    return Share(**setting)


def gradient_ratio(
    term: Tensor, task: Tensor, parameters: Sequence[Tensor]
) -> Tensor:
    """Norm of a term's gradient divided by the task's, over all processes.

    Hooks of data parallel training are not called, and no device is waited
    for.

    Args:
        term: Loss of the term, a scalar.
        task: Sum of the student's own losses, a scalar.
        parameters: The student's trained parameters, without connectors.

    Returns:
        A scalar in float32 or float64.

    Raises:
        RuntimeError: If the student has a re-entrant activation checkpoint,
            or the two reach no parameter in common.
    """
    gradients = [_gradients(part, parameters) for part in (term, task)]
    squares = []
    like = full_digits(term)
    reached = [
        all(g is not None for g in pair)
        for pair in zip(*gradients, strict=True)
    ]
    if not any(reached):
        raise RuntimeError(
            'share: the term and the losses of the student reach no trained '
            'parameter in common, so their gradients cannot be compared. '
            'Record a module before the heads, or give a loss_weight.'
        )
    # Filled on the device: it would wait for numbers that are copied to it.
    both = torch.stack([like.new_full((), x) for x in reached])
    for part_gradients in gradients:
        flat = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).flatten().to(like)
                for g, p in zip(part_gradients, parameters, strict=True)
            ]
        )
        all_reduce(flat, 'mean')
        sizes = [p.numel() for p in parameters]
        norms = torch.stack([x.square().sum() for x in flat.split(sizes)])
        squares.append(norms)
    if get_world_size() > 1:
        all_reduce(both, 'mean')
        both = (both == 1).to(like)
    term_square, task_square = ((x * both).sum() for x in squares)
    return (term_square / task_square).sqrt()


def _gradients(
    part: Tensor, parameters: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    scale = 1.0
    if torch.is_autocast_enabled(part.device.type):
        low = torch.get_autocast_dtype(part.device.type) == torch.float16
        scale = _FP16_SCALE if low else 1.0
    try:
        with full_precision(part):
            gradients = torch.autograd.grad(
                part,
                parameters,
                torch.full_like(part, scale),
                retain_graph=True,
                allow_unused=True,
            )
    except RuntimeError as error:
        if 'with .grad()' not in str(error):
            raise
        raise RuntimeError(
            'share cannot be measured in a student with re-entrant activation '
            'checkpoints (with_cp=True): give the loss a loss_weight, use '
            'use_reentrant=False, or switch with_cp off.'
        ) from error
    return [None if g is None else g.detach() / scale for g in gradients]
