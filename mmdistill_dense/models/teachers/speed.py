"""Switches that make a frozen teacher faster or smaller."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import cache
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from .folding import fold_batch_norms

PRECISIONS = dict(fp32=torch.float32, bf16=torch.bfloat16, fp16=torch.float16)
#: Modules whose weights are cast to low precision.
_CAST_MODULES = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
#: Largest change of a folded teacher's maps, relative to the largest value of
#: a map. Rounding gives 1e-6, TF32 on a GPU 1e-3.
_TOLERANCE = 2e-2


@dataclass(frozen=True)
class SpeedSwitches:
    """Switches of a frozen teacher; with all off it is the stock model.

    ``docs/performance.md`` lists the costs and gains.

    Args:
        precision: ``'bf16'`` or ``'fp16'``: run under autocast, with the
            weights of convolutions and linear layers in this precision;
            ``'fp32'``: never under autocast; ``None``: as the student.
        fold_bn: Fold batch norms into the convolutions before them, except
            recorded ones.
        channels_last: Use the memory format ``torch.channels_last``.
        compile: Compile the modules that run with ``torch.compile``; a dict:
            its arguments.
        stream: On a GPU, run on a separate CUDA stream.

    Raises:
        ValueError: If the value of a switch is not valid.
    """

    precision: str | None = None
    fold_bn: bool = False
    channels_last: bool = False
    compile: bool | Mapping[str, Any] = False
    stream: bool = False

    def __post_init__(self) -> None:
        if self.precision is not None and self.precision not in PRECISIONS:
            raise ValueError(
                f'precision must be one of {", ".join(PRECISIONS)}, or None '
                f"for the student's, got {self.precision!r}."
            )
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            options = field.name == 'compile' and isinstance(value, Mapping)
            if not (isinstance(value, bool) or options):
                hint = ', or a dict for torch.compile' * (
                    field.name == 'compile'
                )
                raise ValueError(
                    f'{field.name} must be True or False{hint}, got {value!r}.'
                )

    def __str__(self) -> str:
        """The switches that are on, as written in a config."""
        return ', '.join(
            f'{field.name}={getattr(self, field.name)!r}'
            for field in fields(self)
            if getattr(self, field.name) != field.default
        )

    @property
    def changes_model(self) -> bool:
        """Whether the switches change weights, and so the maps."""
        return self.fold_bn or self.channels_last or self.low_precision

    @property
    def low_precision(self) -> bool:
        """Whether the precision is below float32."""
        return self.precision in ('bf16', 'fp16')

    def prepare(self, model: nn.Module, run: Callable[[], Any]) -> None:
        """Change the model before it is frozen.

        Args:
            model: Model with loaded weights, in full precision.
            run: Runs one pass of the recorded part.
        """
        if self.fold_bn:
            fold_batch_norms(model, run)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)

    def cast(self, model: nn.Module) -> None:
        """Cast weights to low precision; call after ``model.to(dtype)``."""
        if self.low_precision:
            for module in model.modules():
                # Subclasses may process their weights, as by standardising.
                if type(module) in _CAST_MODULES:
                    module.to(PRECISIONS[self.precision])

    def compile_parts(self, model: nn.Module, run: Callable[[], Any]) -> None:
        """Compile in place the outermost modules that a pass calls."""
        if self.compile:
            options = {} if self.compile is True else dict(self.compile)
            for module in _outermost(model, run):
                module.compile(**options)

    def format_images(self, images: Tensor) -> Tensor:
        """A batch in the memory format of the model."""
        if self.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def autocast(self, device: torch.device) -> AbstractContextManager:
        """Context of a pass."""
        if self.precision is None:
            return nullcontext()
        dtype = PRECISIONS[self.precision]
        low = dtype if self.low_precision else None
        return torch.autocast(
            device.type, dtype=low, enabled=self.low_precision
        )

    @contextmanager
    def side_stream(self, inputs: Tensor) -> Iterator[None]:
        """Run on a separate stream, after the work that ``inputs`` needs."""
        if not (self.stream and inputs.is_cuda):
            yield
            return
        side = _side_stream(inputs.device)
        side.wait_stream(torch.cuda.current_stream(inputs.device))
        with torch.cuda.stream(side):
            yield
        inputs.record_stream(side)

    def wait_for(self, tensors: Sequence[Tensor]) -> None:
        """Let the current stream wait for work on :meth:`side_stream`."""
        if self.stream and tensors[0].is_cuda:
            device = tensors[0].device
            current = torch.cuda.current_stream(device)
            current.wait_stream(_side_stream(device))
            for tensor in tensors:
                tensor.record_stream(current)


@cache
def _side_stream(device: torch.device) -> Any:
    return torch.cuda.Stream(device)


def measure_drift(
    before: Mapping[str, Sequence[Tensor]],
    after: Mapping[str, Sequence[Tensor]],
    switches: SpeedSwitches,
) -> float:
    """Largest relative change of a teacher's maps by its switches.

    Args:
        before: Levels by term, without the switches.
        after: Levels by term, with the switches.
        switches: The switches.

    Returns:
        The largest difference, relative to the largest value of a map.

    Raises:
        RuntimeError: If a map is not finite, or differs by more than rounding
            in full precision.
    """
    worst = 0.0
    for key, levels in before.items():
        for old, new in zip(levels, after[key], strict=True):
            old, new = old.double().cpu(), new.double().cpu()
            size = old.abs().max().clamp_min(torch.finfo(old.dtype).tiny)
            part = float((new - old).abs().max() / size)
            if not (
                part <= _TOLERANCE
                or (switches.low_precision and isfinite(part))
            ):
                raise RuntimeError(
                    f'with {switches} the maps of {key!r} are wrong: on a '
                    f'noise image they differ by {part:.2g} of the largest '
                    'value. Remove switches from teacher until they agree; '
                    'fp16 may overflow where bf16 does not.'
                )
            worst = max(worst, part)
    return worst


def _outermost(model: nn.Module, run: Callable[[], Any]) -> list[nn.Module]:
    """Modules that a pass calls directly, not inside another module."""
    inside: list[nn.Module] = []
    outermost: dict[nn.Module, None] = {}

    def enter(module: nn.Module, args: Any) -> None:
        if not inside:
            outermost[module] = None
        inside.append(module)

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        inside.pop()

    # Before hooks of recorders, which may raise StopForward, so that every
    # module entered is also left.
    handles = [
        handle
        for module in list(model.modules())[1:]
        for handle in (
            module.register_forward_pre_hook(enter, prepend=True),
            module.register_forward_hook(leave, prepend=True),
        )
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return list(outermost)
