"""LARS: SGD with momentum and a learning rate scaled by layer norms."""

import math
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from mmdistill_dense.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class LARS(Optimizer):
    r"""Layer-wise adaptive rate scaling, for large batches.

    Each tensor ``w`` with the gradient ``g`` takes the step

    .. math::
        r &= \eta \|w\| / (\|g\| + \lambda \|w\| + \epsilon) \\
        v &\leftarrow \mu v + r (g + \lambda w) \\
        w &\leftarrow w - \text{lr} \cdot v

    with :math:`r = 1` where one of the norms is 0, :math:`\lambda` the
    weight decay and :math:`\mu` the momentum (no Nesterov).
    The ratio is that of You et al. 2017, "Large Batch Training of
    Convolutional Networks", https://arxiv.org/abs/1708.03888, algorithm 1.
    There the learning rate is inside the buffer, :math:`v \leftarrow \mu v +
    \text{lr} \cdot r (g + \lambda w)`; here it is outside, as in
    :class:`torch.optim.SGD` and MoCo v3, so that a change of the rate applies
    to the whole buffer at once. At a constant rate the two are equal.

    Vectors (at most one dimension: biases and the parameters of norms,
    independent of their names) get neither decay nor scaling: plain SGD with
    momentum. A step does not synchronise with the GPU.

    Args:
        params: Parameters, or dicts of groups; a group may override any of
            the following settings.
        lr: Learning rate, typically about 100 times that of SGD.
        momentum: At least 0, below 1.
        weight_decay: Applied to all parameters but vectors.
        eta: Trust coefficient, above 0.
        eps: Added to the denominator of the ratio.
        exclude_vectors: Whether vectors are excluded from decay and scaling.

    Raises:
        ValueError: If a setting is out of its range.
        RuntimeError: If a gradient is sparse.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 1e-5,
        eta: float = 1e-3,
        eps: float = 0.0,
        exclude_vectors: bool = True,
    ) -> None:
        defaults = dict(
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            eta=eta,
            eps=eps,
            exclude_vectors=exclude_vectors,
        )
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters and check its settings."""
        super().add_param_group(param_group)
        _check_ranges(self.param_groups[-1])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; returns the result of ``closure``, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group['params']:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        step = weight.grad
        if step.is_sparse:
            raise RuntimeError(
                'LARS: a gradient is sparse, but the norm of a whole tensor '
                'is needed. Build the embedding with sparse=False, or train '
                'it with another optimizer.'
            )
        if weight.ndim > 1 or not group['exclude_vectors']:
            step = _scaled(weight, step, group)
        if group['momentum']:
            step = self._with_momentum(weight, step, group['momentum'])
        weight.add_(step, alpha=-group['lr'])

    def _with_momentum(
        self, weight: Tensor, step: Tensor, mu: float
    ) -> Tensor:
        state = self.state[weight]
        if 'momentum_buffer' not in state:
            state['momentum_buffer'] = torch.zeros_like(weight)
        return state['momentum_buffer'].mul_(mu).add_(step)


def _scaled(weight: Tensor, grad: Tensor, group: dict[str, Any]) -> Tensor:
    """Gradient with decay, times the ratio of the norms."""
    decay = group['weight_decay']
    # float16 would overflow in the sum of squares.
    dtype = torch.promote_types(weight.dtype, torch.float32)
    w = torch.linalg.vector_norm(weight, dtype=dtype)
    g = torch.linalg.vector_norm(grad, dtype=dtype)
    ratio = group['eta'] * w / (g + decay * w + group['eps'])
    # `where` instead of `if`, which would synchronise for every parameter.
    ratio = torch.where((w > 0) & (g > 0), ratio, torch.ones_like(ratio))
    return grad.add(weight, alpha=decay).mul_(ratio)


#: Range of each setting, as text and as a predicate.
RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    'lr': ('>= 0', lambda x: 0 <= x < math.inf),
    'momentum': ('>= 0 and < 1', lambda x: 0 <= x < 1),
    'weight_decay': ('>= 0', lambda x: 0 <= x < math.inf),
    'eta': ('> 0', lambda x: 0 < x < math.inf),
    'eps': ('>= 0', lambda x: 0 <= x < math.inf),
}


def _check_ranges(group: dict[str, Any]) -> None:
    for name, (words, in_range) in RANGES.items():
        value = group[name]
        if not (isinstance(value, Real) and in_range(value)):
            raise ValueError(
                f'LARS: {name} must be a number {words}, got {value!r}. Set '
                f'optim_wrapper.optimizer.{name}.'
            )
