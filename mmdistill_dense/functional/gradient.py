"""Gradients computed in the forward pass and scaled in the backward pass."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import torch
from torch import Tensor

#: Index of a piece of a map: slices of its first dimensions.
Index = tuple[slice, ...]
#: Gradient of each argument of a forward pass.
Gradients = tuple[Tensor | None, ...]

#: Bytes of a piece per CPU thread, so that intermediate results of a loss stay
#: in the cache.
_CPU_PIECE_BYTES = 2**19
#: Bytes of a piece on other devices, where pieces only limit the memory.
_DEVICE_PIECE_BYTES = 2**26
#: Channels of a piece, at least, where channels are contiguous in memory.
_CACHE_LINE = 16
#: Factor by which a half-precision gradient is multiplied before it is saved,
#: so that values around 1e-5 keep their digits in float16. A power of two, so
#: that scaling is exact.
HALF_PRECISION_SCALE = 2.0**15
#: Error message for a second derivative.
_SECOND_DERIVATIVE = (
    'the gradient of this distillation loss is computed in the forward pass '
    'and saved, so it cannot be differentiated a second time. Leave the '
    'loss out of what create_graph=True is for.'
)


def working_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 if one of the tensors is, else float32."""
    doubled = any(x.dtype == torch.float64 for x in tensors)
    return torch.float64 if doubled else torch.float32


def pieces(like: Tensor, dim: int = 1) -> Iterator[Index]:
    """Pieces of a map that are small enough to process one by one.

    Args:
        like: A map of shape (N, ...).
        dim: Dimension that is cut if one image is too large.

    Yields:
        Indices that cut dimensions 0 and ``dim`` and keep the others whole.
        Under ``torch.compile``, which fuses by itself, a single one.
    """
    if torch.compiler.is_compiling():
        yield (slice(None),)
        return
    count, length = like.shape[0], like.shape[dim]
    budget = _DEVICE_PIECE_BYTES
    if like.device.type == 'cpu':
        budget = _CPU_PIECE_BYTES * torch.get_num_threads()
    # Half precision is processed in single precision.
    line = max(1, like[0].numel() // length) * max(4, like.element_size())
    images = max(1, budget // (line * length))
    step = max(1, budget // line)
    if like.stride(dim) == 1:
        step = max(step, _CACHE_LINE)
    whole = (slice(None),) * (dim - 1)
    for n in range(0, count, images):
        for c in range(0, length, step):
            yield slice(n, n + images), *whole, slice(c, c + step)


def scale_gradient(saved: Tensor, factor: Tensor, dim: int = 1) -> Tensor:
    """``saved * factor``, computed in full precision and rounded once.

    A loss saves its gradient without ``1 / (N C)``, the temperature, the
    weight and the loss scale, which are applied here. With the first two,
    most of a large map's gradient would be 0 in float16.

    If the graph is freed, the result is written into ``saved``, so that the
    backward pass needs no second tensor of that size.

    Args:
        saved: Tensor (N, C, H, W), or with more dimensions after N, of
            ``ctx.saved_tensors``, used nowhere else.
        factor: A scalar, or (N, 1, H, W).
        dim: Dimension besides N by which a large one is cut.
    """
    whole = saved if _frees_graph() else torch.empty_like(saved)
    if saved.dtype == factor.dtype:
        return torch.mul(saved, factor, out=whole)
    for index in pieces(saved, dim):
        part = factor[index[0]] if factor.ndim else factor
        whole[index] = saved[index].to(factor.dtype).mul_(part)
    return whole


def once_differentiable(
    backward: Callable[..., Gradients],
) -> Callable[..., Gradients]:
    """Decorate a ``backward`` whose gradient has no graph.

    As ``torch.autograd.function.once_differentiable``, with a message of its
    own: differentiating the gradient raises, instead of treating it as a
    constant of a second derivative that has other parts.

    Args:
        backward: Function of ``(ctx, *grad_outputs)`` that returns the
            gradient first.
    """

    @wraps(backward)
    def run(ctx: Any, *grad_outputs: Tensor) -> Gradients:
        create_graph = torch.is_grad_enabled()
        with torch.no_grad():
            gradient, *others = backward(ctx, *grad_outputs)
        if create_graph and gradient is not None:
            refuse = torch._C._functions.DelayedError(_SECOND_DERIVATIVE, 1)
            gradient = refuse(gradient.requires_grad_())
        return gradient, *others

    return run


def _frees_graph() -> bool:
    """Whether the current backward pass frees its graph.

    torch makes the same check before a compiled graph donates its buffers.
    """
    if torch.compiler.is_compiling():
        return False
    keeps_graph = getattr(
        torch._C._autograd, '_get_current_graph_task_keep_graph', None
    )
    return keeps_graph is not None and not keeps_graph()


def needs_gradient(*tensors: Tensor) -> bool:
    """Whether autograd is enabled and a tensor requires a gradient."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
