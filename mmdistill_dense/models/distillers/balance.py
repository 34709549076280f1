"""How much each term counts beside the student's task, in one step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmdistill_dense.functional.precision import full_precision

#: Name of the student's own losses, together.
TASK = 'task'


@dataclass(frozen=True)
class Balance:
    """What one step's loss is made of; keys are terms, and ``'task'``.

    Args:
        shares: Part of the sum of absolute values, between 0 and 1.
        norms: L2 norm of the gradient on the student's own parameters;
            empty where it cannot be taken alone (re-entrant checkpointing).
        factors: What the schedules said, for terms only.
    """

    shares: dict[str, float]
    norms: dict[str, float]
    factors: dict[str, float]


class BalanceMeter:
    """Measures the next step when asked; else it costs nothing.

    Training is not changed: gradients are taken aside, and no gradient
    hook, such as that of data parallel training, sees them.
    """

    def __init__(self) -> None:
        self._scale: float | None = None
        self._last: Balance | None = None

    def request(self, scale: float = 1.0) -> None:
        """Measure in the next step.

        Args:
            scale: The loss scale of fp16 training, without which small
                gradients would vanish; the norms are divided by it.
        """
        self._scale, self._last = scale, None

    def take(self) -> Balance | None:
        """What was measured, once; ``None`` if no step came."""
        last, self._last = self._last, None
        return last

    def measure(
        self,
        losses: Mapping[str, Tensor | list[Tensor]],
        factors: Mapping[str, float],
        student: nn.Module,
    ) -> None:
        """Look at the losses of one step, if that was asked for."""
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
    """The task's losses, summed as MMEngine does, and each term's."""
    ours = {f'loss_{name}': name for name in factors}
    task = [
        value.mean()
        for key, values in losses.items()
        if 'loss' in key and key not in ours
        for value in (values if isinstance(values, list) else [values])
    ]
    terms = {name: losses[key] for key, name in ours.items()}
    return {TASK: torch.stack([v.float() for v in task]).sum(), **terms}


def _norms(
    parts: Mapping[str, Tensor], student: nn.Module, scale: float
) -> dict[str, float]:
    own = [
        parameter
        for name, parameter in student.named_parameters()
        if parameter.requires_grad and not name.startswith('distill.')
    ]
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
    found = [g.detach().float() for g in gradients if g is not None]
    squares = [torch.linalg.vector_norm(g).square() for g in found]
    return math.sqrt(float(sum(squares))) / scale
