"""How a frozen teacher is run: switches that make it faster or leaner."""

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
#: What has weights that a low precision may keep.
_CAST_MODULES = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
#: How far a folded teacher may be from the one that was loaded, of the
#: largest value of a map. Rounding gives 1e-6, TF32 on a GPU 1e-3.
_TOLERANCE = 2e-2


@dataclass(frozen=True)
class Speed:
    """Switches of an observed teacher; all off is the plain model.

    ``docs/performance.md`` has what each costs and gives.

    Args:
        precision: ``'bf16'`` or ``'fp16'``: run under autocast, with the
            weights of convolutions and linear layers kept so, too;
            ``'fp32'``: never under autocast; ``None``: as the student is.
        fold_bn: Fold batch norms into the convolutions before them, but for
            what is recorded.
        channels_last: Keep maps and weights with channels innermost.
        compile: Compile the modules that run with ``torch.compile``; a dict
            is its arguments.
        stream: On a GPU, run on a stream beside the student's.

    Raises:
        ValueError: If a switch has a value that it cannot have.
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
                more = ', or a dict for torch.compile' * (
                    field.name == 'compile'
                )
                raise ValueError(
                    f'{field.name} must be True or False{more}, got {value!r}.'
                )

    def __str__(self) -> str:
        """Those that are on, as they are written in a config."""
        return ', '.join(
            f'{field.name}={getattr(self, field.name)!r}'
            for field in fields(self)
            if getattr(self, field.name) != field.default
        )

    @property
    def changes_model(self) -> bool:
        """Whether weights, and the maps with them, are no longer the same."""
        return self.fold_bn or self.channels_last or self.low_precision

    @property
    def low_precision(self) -> bool:
        """Whether it runs in less than single precision."""
        return self.precision in ('bf16', 'fp16')

    def prepare(self, model: nn.Module, run: Callable[[], Any]) -> None:
        """Change the model before it is frozen.

        Args:
            model: With its weights loaded, in full precision.
            run: The brief pass through it.
        """
        if self.fold_bn:
            fold_batch_norms(model, run)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)

    def cast(self, model: nn.Module) -> None:
        """Keep weights in low precision; after the model has its dtype."""
        if self.low_precision:
            for module in model.modules():
                # Subclasses may work on their weights, by standardising.
                if type(module) in _CAST_MODULES:
                    module.to(PRECISIONS[self.precision])

    def compile_parts(self, model: nn.Module, run: Callable[[], Any]) -> None:
        """Compile in place what a pass calls first, not what that calls."""
        if self.compile:
            options = {} if self.compile is True else dict(self.compile)
            for module in _outermost(model, run):
                module.compile(**options)

    def format_images(self, images: Tensor) -> Tensor:
        """A batch in the form that the model wants."""
        if self.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def autocast(self, device: torch.device) -> AbstractContextManager:
        """What a pass runs in."""
        if self.precision is None:
            return nullcontext()
        dtype = PRECISIONS[self.precision]
        low = dtype if self.low_precision else None
        return torch.autocast(
            device.type, dtype=low, enabled=self.low_precision
        )

    @contextmanager
    def side_stream(self, inputs: Tensor) -> Iterator[None]:
        """Work on a stream of its own, behind what ``inputs`` waits for."""
        if not (self.stream and inputs.is_cuda):
            yield
            return
        side = _side_stream(inputs.device)
        side.wait_stream(torch.cuda.current_stream(inputs.device))
        with torch.cuda.stream(side):
            yield
        inputs.record_stream(side)

    def wait_for(self, tensors: Sequence[Tensor]) -> None:
        """Let the present stream wait for what ran on :meth:`side_stream`."""
        if self.stream and tensors[0].is_cuda:
            device = tensors[0].device
            here = torch.cuda.current_stream(device)
            here.wait_stream(_side_stream(device))
            for tensor in tensors:
                tensor.record_stream(here)


@cache
def _side_stream(device: torch.device) -> Any:
    return torch.cuda.Stream(device)


def measure_drift(
    before: Mapping[str, Sequence[Tensor]],
    after: Mapping[str, Sequence[Tensor]],
    speed: Speed,
) -> float:
    """How far switches have moved a teacher's maps.

    Args:
        before: Levels by term, of the model as it was loaded.
        after: The same with the switches on.
        speed: The switches.

    Returns:
        The largest difference, as a part of a map's largest value.

    Raises:
        RuntimeError: If a map is no longer finite, or another one where
            only its rounding may change.
    """
    worst = 0.0
    for key, levels in before.items():
        for old, new in zip(levels, after[key], strict=True):
            old, new = old.double().cpu(), new.double().cpu()
            size = old.abs().max().clamp_min(torch.finfo(old.dtype).tiny)
            part = float((new - old).abs().max() / size)
            if not (
                part <= _TOLERANCE or (speed.low_precision and isfinite(part))
            ):
                raise RuntimeError(
                    f'with {speed} the maps of {key!r} are others: on a '
                    f'noise image they differ by {part:.2g} of the largest '
                    'value. Take switches out of teacher until they agree; '
                    'fp16 may overflow where bf16 does not.'
                )
            worst = max(worst, part)
    return worst


def _outermost(model: nn.Module, run: Callable[[], Any]) -> list[nn.Module]:
    """Modules that a pass calls while it is inside no other one."""
    inside: list[nn.Module] = []
    found: dict[nn.Module, None] = {}

    def enter(module: nn.Module, args: Any) -> None:
        if not inside:
            found[module] = None
        inside.append(module)

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        inside.pop()

    # Before what a recorder may raise, so that all that was entered is left.
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
    return list(found)
