"""Gradients that are known in the forward pass, and finished in backward."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import torch
from torch import Tensor

#: A part of a map: slices of its first dimensions.
Index = tuple[slice, ...]
#: One for each argument of a forward pass.
Gradients = tuple[Tensor | None, ...]

#: Bytes of a piece, per thread on a CPU: what is made of it on the way to a
#: loss stays in the cache.
_CPU_PIECE_BYTES = 2**19
#: The same on other devices, where pieces only bound the memory.
_DEVICE_PIECE_BYTES = 2**26
#: Neighbours in memory to read at once where channels are innermost.
_CACHE_LINE = 16
#: What a second derivative is answered with.
_SECOND_DERIVATIVE = (
    'the gradient of this distillation loss is made with its value and kept '
    'as numbers, so it cannot be differentiated a second time. Leave the '
    'loss out of what create_graph=True is for.'
)


def working_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 if a tensor is, else float32: half precision is lifted."""
    doubled = any(x.dtype == torch.float64 for x in tensors)
    return torch.float64 if doubled else torch.float32


def pieces(like: Tensor, dim: int = 1) -> Iterator[Index]:
    """Parts of a map that are small enough to work on one by one.

    Args:
        like: A map of shape (N, ...).
        dim: Dimension that is cut where one image is too large.

    Yields:
        Indices that cut dimensions 0 and ``dim``, and take the others whole.
        While torch compiles, which fuses by itself, one for everything.
    """
    if torch.compiler.is_compiling():
        yield (slice(None),)
        return
    count, length = like.shape[0], like.shape[dim]
    budget = _DEVICE_PIECE_BYTES
    if like.device.type == 'cpu':
        budget = _CPU_PIECE_BYTES * torch.get_num_threads()
    # What is made of half precision is single.
    line = max(1, like[0].numel() // length) * max(4, like.element_size())
    images = max(1, budget // (line * length))
    step = max(1, budget // line)
    if like.stride(dim) == 1:
        step = max(step, _CACHE_LINE)
    whole = (slice(None),) * (dim - 1)
    for n in range(0, count, images):
        for c in range(0, length, step):
            yield slice(n, n + images), *whole, slice(c, c + step)


def scale_gradient(saved: Tensor, factor: Tensor) -> Tensor:
    """``saved * factor``, in full precision and rounded once.

    A loss keeps its gradient without ``1 / (N C)``, the temperature, the
    weight and the loss scale; they come here. With the first two in it, most
    of a large map's gradient would be 0 in float16.

    Where nobody can ask for it again it is written into ``saved``, so that a
    backward pass needs no second tensor of that size.

    Args:
        saved: A tensor (N, C, H, W) of ``ctx.saved_tensors`` that nobody
            else has.
        factor: A scalar, or (N, 1, H, W).
    """
    whole = saved if _frees_graph() else torch.empty_like(saved)
    if saved.dtype == factor.dtype:
        return torch.mul(saved, factor, out=whole)
    for index in pieces(saved):
        part = factor[index[0]] if factor.ndim else factor
        whole[index] = saved[index].to(factor.dtype).mul_(part)
    return whole


def once_differentiable(
    backward: Callable[[Any, Tensor], Gradients],
) -> Callable[[Any, Tensor], Gradients]:
    """Let a ``backward`` hand out a gradient that is no function any more.

    Differentiating it again raises, also where the graph of a second
    derivative holds other parts, among which it would pass as a constant.

    Args:
        backward: Of ``(ctx, grad_output)``, with the gradient first.
    """

    @wraps(backward)
    def run(ctx: Any, grad_output: Tensor) -> Gradients:
        asked = torch.is_grad_enabled()
        with torch.no_grad():
            gradient, *others = backward(ctx, grad_output)
        if asked and gradient is not None:
            refuse = torch._C._functions.DelayedError(_SECOND_DERIVATIVE, 1)
            gradient = refuse(gradient.requires_grad_())
        return gradient, *others

    return run


def _frees_graph() -> bool:
    """Whether the backward pass that runs frees its graph.

    torch asks the same before a compiled graph gives its buffers away.
    """
    if torch.compiler.is_compiling():
        return False
    ask = getattr(
        torch._C._autograd, '_get_current_graph_task_keep_graph', None
    )
    return ask is not None and not ask()


def needs_gradient(*tensors: Tensor) -> bool:
    """Whether a gradient will be asked for."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
