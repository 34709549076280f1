"""Contribution of each term and of the student's task to one step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmdistill_dense.functional.precision import full_precision

#: Name of the sum of the student's own losses.
TASK = 'task'


@dataclass(frozen=True)
class Balance:
    """Parts of the loss of one step; keys are terms, and ``'task'``.

    Args:
        shares: Fraction of the sum of absolute values, between 0 and 1.
        norms: L2 norm of the gradient of the student's own parameters; empty
            if it cannot be computed separately (re-entrant checkpointing).
        factors: Factors of the schedules, for terms only.
    """

    shares: dict[str, float]
    norms: dict[str, float]
    factors: dict[str, float]


class BalanceMeter:
    """Measures the balance of a step on request; costs nothing otherwise.

    Training is not changed: gradients are computed separately, without
    triggering gradient hooks, such as those of data parallel training.
    """

    def __init__(self) -> None:
        self._scale: float | None = None
        self._last: Balance | None = None

    def request(self, scale: float = 1.0) -> None:
        """Request a measurement of the next step.

        Args:
            scale: The loss scale of fp16 training, without which small
                gradients would vanish; the norms are divided by it.
        """
        self._scale, self._last = scale, None

    def take(self) -> Balance | None:
        """Return and clear the measurement; ``None`` without a step."""
        last, self._last = self._last, None
        return last

    def measure(
        self,
        losses: Mapping[str, Tensor | list[Tensor]],
        factors: Mapping[str, float],
        student: nn.Module,
    ) -> None:
        """Measure the losses of a step, if requested."""
        scale, self._scale = self._scale, None
        if scale is None or not torch.is_grad_enabled():
            return
        parts = _parts(losses, factors)
        values = {k: abs(float(part.detach())) for k, part in parts.items()}
        whole = sum(values.values()) or 1.0
        self._last = Balance(
            {name: value / whole for name, value in values.items()},
            _norms(parts, student, scale),
            dict(factors),
        )


def _parts(losses: Mapping, factors: Mapping) -> dict[str, Tensor]:
    """Loss of the task, and of each term."""
    term_keys = {f'loss_{name}': name for name in factors}
    own = {k: v for k, v in losses.items() if k not in term_keys}
    terms = {name: losses[key] for key, name in term_keys.items()}
    return {TASK: sum_of_losses(own), **terms}


def sum_of_losses(losses: Mapping[str, Tensor | list[Tensor]]) -> Tensor:
    """Sum of a model's losses, as MMEngine computes it; a scalar."""
    parts = [
        value.mean()
        for key, values in losses.items()
        if 'loss' in key
        for value in (values if isinstance(values, list) else [values])
    ]
    return torch.stack([full_digits(p) for p in parts]).sum()


def full_digits(x: Tensor) -> Tensor:
    """A tensor of half precision in float32, others as they are."""
    return x.float() if x.itemsize < 4 else x


def own_parameters(student: nn.Module) -> list[Tensor]:
    """Trained parameters of a distilled student, without ``distill.*``."""
    return [
        parameter
        for name, parameter in student.named_parameters()
        if parameter.requires_grad and not name.startswith('distill.')
    ]


def _norms(
    parts: Mapping[str, Tensor], student: nn.Module, scale: float
) -> dict[str, float]:
    own = own_parameters(student)
    try:
        return {k: _norm(part, own, scale) for k, part in parts.items()}
    except RuntimeError as error:
        if 'with .grad()' not in str(error):  # re-entrant checkpoints
            raise
        return {}


def _norm(part: Tensor, parameters: Sequence[Tensor], scale: float) -> float:
    if not part.requires_grad:
        return 0.0
    with full_precision(part):
        gradients = torch.autograd.grad(
            part,
            parameters,
            torch.full_like(part, scale),
            retain_graph=True,
            allow_unused=True,
        )
    present = [g.detach().float() for g in gradients if g is not None]
    squares = [torch.linalg.vector_norm(g).square() for g in present]
    return math.sqrt(float(sum(squares))) / scale
