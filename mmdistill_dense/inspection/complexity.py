"""Parameters and FLOPs of a model, counted while it runs."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mmdistill_dense.models.hosts import blank_batch, follow, inference_route
from mmdistill_dense.models.utils import evaluated

#: Pixels of an image that is run faster than thought through.
_SMALL_IMAGE = 128 * 128
try:
    from torch.nn.attention import SDPBackend, sdpa_kernel
except ImportError:  # torch < 2.3
    sdpa_kernel = None

#: A forward pass: takes images (1, 3, H, W) and their data samples.
Run = Callable[[Tensor, list], object]


@dataclass(frozen=True)
class Complexity:
    """What one forward pass of one image costs.

    Args:
        parameters: Number of the model's parameters, run or not.
        flops: Floating point operations of matrix products, convolutions
            and attention, 2 per multiply-add; the rest is not counted.
        parts: The same by top-level module (``backbone``, ``neck``, ...).
        calls: Calls of modules that compute (without children, or with
            parameters of their own), by top-level module.
    """

    parameters: int
    flops: int
    parts: dict[str, int]
    calls: dict[str, int]


def model_complexity(model: nn.Module, size: tuple[int, int]) -> Complexity:
    """Count a stock model's inference, or that of a distilled student.

    It ends before post-processing, with the logits of a segmentor and with
    ``mode='tensor'`` of a detector. A RoI head sees the regions that a blank
    image gives.

    Args:
        model: The model, as it is; it is run in eval mode.
        size: Height and width of the blank image, in pixels.
    """
    run = partial(follow, inference_route(model), model)
    return complexity(model, run, size)


def complexity(
    model: nn.Module, run: Run, size: tuple[int, int]
) -> Complexity:
    """Count one forward pass, in eval mode and without gradients.

    Tensors without data are tried first, which large images make neither
    slow nor big; where a model reads its data (proposals) it is really run.

    Args:
        model: The model that runs.
        run: The pass to count, or a part of one.
        size: Height and width of the blank image, in pixels.
    """
    if size[0] * size[1] <= _SMALL_IMAGE:
        return _count(model, run, size)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            return _count(model, run, size)
    except Exception:  # whatever an operator without data support raises
        return _count(model, run, size)


def parameter_count(model: nn.Module) -> int:
    """Number of parameters; of a distilled model, of its student."""
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if not _is_distillation(name))


def _is_distillation(name: str) -> bool:
    return name.partition('.')[0] == 'distill'


def _count(model: nn.Module, run: Run, size: tuple[int, int]) -> Complexity:
    counter = FlopCounterMode(display=False)
    with evaluated(model), _countable(model), counter:
        with _counting_parts(model, counter.get_total_flops) as parts:
            run(*blank_batch(model, size))
        return Complexity(
            parameter_count(model),
            counter.get_total_flops(),
            dict(parts.flops),
            dict(parts.calls),
        )


@contextmanager
def _countable(model: nn.Module) -> Iterator[None]:
    """Keep torch on the ways that its counter can follow.

    Fused attention has no formula there on CPUs, and views of parameters
    that want gradients break its tracking of modules.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    model.requires_grad_(False)
    try:
        with sdpa_kernel(SDPBackend.MATH) if sdpa_kernel else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for parameter in trained:
            parameter.requires_grad = True


class _PartCounter:
    """Books FLOPs on the top-level module that is being called."""

    def __init__(self, total: Callable[[], int]) -> None:
        self.flops: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._total = total
        self._open: list[str] = []
        self._start = 0

    def enter(self, part: str, *_: object) -> None:
        if not self._open:
            self._start = self._total()
        self._open.append(part)

    def leave(self, part: str, computes: bool, *_: object) -> None:
        self.calls[part] += computes
        if len(self._open) == 1:
            self.close()
        self._open.pop()

    def close(self) -> None:
        if self._open:
            self.flops[self._open[0]] += self._total() - self._start


@contextmanager
def _counting_parts(
    model: nn.Module, total: Callable[[], int]
) -> Iterator[_PartCounter]:
    parts, handles = _PartCounter(total), []
    for name, module in model.named_modules():
        part = name.partition('.')[0]
        if not part or _is_distillation(name):
            continue
        computes = bool(module._parameters) or not module._modules
        # First of all hooks: a recorder's may leave the forward pass.
        leave = partial(parts.leave, part, computes)
        handles += [
            module.register_forward_pre_hook(
                partial(parts.enter, part), prepend=True
            ),
            module.register_forward_hook(leave, prepend=True),
        ]
    try:
        yield parts
        parts.close()  # where the pass was left in the midst of a module
    finally:
        for handle in handles:
            handle.remove()
