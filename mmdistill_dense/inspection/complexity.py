"""Counts parameters and FLOPs of a model in a forward pass."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mmdistill_dense.models.hosts import (
    blank_batch,
    inference_route,
    run_route,
)
from mmdistill_dense.models.utils import eval_mode

#: Up to so many pixels a real run is faster than one on fake tensors.
_SMALL_IMAGE = 128 * 128
try:
    from torch.nn.attention import SDPBackend, sdpa_kernel
except ImportError:  # torch < 2.3
    sdpa_kernel = None

#: A forward pass of images (1, C, H, W) and their data samples.
Run = Callable[[Tensor, list], object]


@dataclass(frozen=True)
class Complexity:
    """Cost of a forward pass of one image.

    Args:
        parameters: Number of the model's parameters, used or not.
        flops: Floating point operations of matrix products, convolutions
            and attention, 2 per multiply-add; the rest is not counted.
        parts: FLOPs by top-level module (``backbone``, ``neck``, ...).
        calls: Calls of modules that compute (without children, or with
            parameters of their own), by top-level module.
    """

    parameters: int
    flops: int
    parts: dict[str, int]
    calls: dict[str, int]


def model_complexity(model: nn.Module, size: tuple[int, int]) -> Complexity:
    """Count the inference of a stock model or a distilled student.

    It ends before post-processing, with the logits of a segmentor and with
    ``mode='tensor'`` of a detector. A RoI head runs on the RoIs of a blank
    image.

    Args:
        model: The model, in any mode; it is run in eval mode.
        size: Height and width of the blank image, in pixels.
    """
    run = partial(run_route, inference_route(model), model)
    return complexity(model, run, size)


def complexity(
    model: nn.Module, run: Run, size: tuple[int, int]
) -> Complexity:
    """Count one forward pass, in eval mode and without gradients.

    Fake tensors, without data, are tried first, as their cost does not depend
    on the size of the image. A model that reads its data (proposals) is run
    on real tensors.

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
    except (
        Exception
    ):  # operators without fake tensor support raise various errors
        return _count(model, run, size)


def parameter_count(model: nn.Module) -> int:
    """Number of parameters; for a distilled model, those of its student."""
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if not _is_distillation(name))


def _is_distillation(name: str) -> bool:
    return name.partition('.')[0] == 'distill'


def _count(model: nn.Module, run: Run, size: tuple[int, int]) -> Complexity:
    counter = FlopCounterMode(display=False)
    # Outside, as the channels of an image are found by running the model.
    batch = blank_batch(model, size)
    with eval_mode(model), _countable(model), counter:
        with _counting_parts(model, counter.get_total_flops) as parts:
            run(*batch)
        return Complexity(
            parameter_count(model),
            counter.get_total_flops(),
            dict(parts.flops),
            dict(parts.calls),
        )


@contextmanager
def _countable(model: nn.Module) -> Iterator[None]:
    """Disable what torch's counter cannot count.

    Fused attention has no formula on CPUs, and views of parameters that
    require gradients break its tracking of modules.
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
    """Adds FLOPs to the top-level module that is being called."""

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
        # Before all other hooks: those of recorders may end the forward pass.
        leave = partial(parts.leave, part, computes)
        handles += [
            module.register_forward_pre_hook(
                partial(parts.enter, part), prepend=True
            ),
            module.register_forward_hook(leave, prepend=True),
        ]
    try:
        yield parts
        parts.close()  # if the pass ended inside a module
    finally:
        for handle in handles:
            handle.remove()
