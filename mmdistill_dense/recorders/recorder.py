"""A recorder: a hook on one module that can be switched on."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class StopForward(BaseException):
    """Raised to end a forward pass as soon as everything needed is recorded.

    Not an ``Exception``, so that no ``except Exception`` in a model handles it
    as a failure.
    """


class Recorder:
    """Records the output (or input) of one module while it is switched on.

    The hook stays on the module, as ``torch.compile`` and deep copies
    require. It is a bound method, so the hook of a copied module records into
    the copied recorder. While switched off, it does nothing.

    Args:
        module: The module to record.
        path: Its name in the model, for messages.
        take: ``'output'`` or ``'input'``.
        clone: Record copies, which later in-place operations cannot change.
    """

    def __init__(
        self, module: nn.Module, path: str, take: str, clone: bool
    ) -> None:
        self.path = path
        self.take = take
        self.clone = clone
        self.on = False
        self.calls = 0
        self._recorded: list[tuple[Tensor, int]] = []
        self._countdown: CallCountdown | None = None
        if take == 'input':
            module.register_forward_pre_hook(self._on_input, with_kwargs=True)
        else:
            module.register_forward_hook(self._on_output)

    def _on_input(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self.on:
            self._record((args, kwargs))

    def _on_output(self, module: nn.Module, args: Any, output: Any) -> None:
        if self.on:
            self._record(output)

    def _record(self, value: Any) -> None:
        self.calls += 1
        for tensor in iter_float_tensors(value):
            recorded = tensor.clone() if self.clone else tensor
            self._recorded.append((recorded, recorded._version))
        if self._countdown is not None:
            self._countdown.count_call()

    def read(self) -> list[Tensor]:
        """Tensors of this forward pass, in the order of the calls.

        Raises:
            RuntimeError: If the module was never called, or if a tensor was
                changed in place after it was recorded.
        """
        if not self.calls:
            raise RuntimeError(
                f'the recorder of {self.path!r} recorded nothing: the forward '
                'pass does not call this module. Containers such as '
                'ModuleList, or a Sequential that a head iterates over, are '
                f"not called: record their members, '{self.path}.*', or "
                'another module.'
            )
        for tensor, version in self._recorded:
            # Under torch.compile, `_version` cannot be compared in the graph.
            # The same check has already run eagerly in the dry run.
            if torch.compiler.is_compiling():
                break
            if tensor._version != version:
                raise RuntimeError(
                    f'the {self.take} of {self.path!r} was changed in place '
                    'after it was recorded, so it is not the recorded value. '
                    'Usual cause: an in-place ReLU after it. Record the '
                    f'module after it, or keep a copy: dict(path='
                    f"'{self.path}', clone=True)."
                )
        return [tensor for tensor, _ in self._recorded]

    def switch(
        self, on: bool, countdown: 'CallCountdown | None' = None
    ) -> None:
        """Start or end a recording, and free the tensors of the last one."""
        self.on = on
        self.calls = 0
        self._recorded.clear()
        self._countdown = countdown


class CallCountdown:
    """Counts down the expected calls of several recorders.

    Raises :class:`StopForward` at 0.
    """

    def __init__(self, calls: int) -> None:
        self.remaining = calls

    def count_call(self) -> None:
        self.remaining -= 1
        if self.remaining == 0:
            raise StopForward


def iter_float_tensors(value: Any) -> Iterator[Tensor]:
    """Floating point tensors of nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from iter_float_tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from iter_float_tensors(item)
