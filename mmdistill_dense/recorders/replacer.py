"""Change the output or input of a module inside a forward pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

#: Maps the index of a tensor in a forward pass, and the tensor, to a tensor.
Change = Callable[[int, Tensor], Tensor]


class Replacer:
    """A hook on one module that changes tensors while it is switched on.

    Args:
        module: The module.
        take: ``'output'`` or ``'input'``: which side is changed.
        first: Index of its first tensor in a forward pass.
        count: Tensors in a forward pass. If several passes follow each
            other, as with sliding windows, indices start again.
    """

    def __init__(
        self, module: nn.Module, take: str, first: int, count: int
    ) -> None:
        self.first, self.count = first, count
        self.change: Change | None = None
        self._seen = 0
        if take == 'input':
            module.register_forward_pre_hook(self._on_input, with_kwargs=True)
        else:
            module.register_forward_hook(self._on_output)

    def _on_input(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        return self._changed((args, kwargs))

    def _on_output(self, module: nn.Module, args: Any, output: Any) -> Any:
        return self._changed(output)

    def _changed(self, value: Any) -> Any:
        """The changed value; ``None`` keeps the original one."""
        change = self.change
        if change is None:
            return None

        def change_next(tensor: Tensor) -> Tensor:
            index = self.first + self._seen % self.count
            self._seen += 1
            return change(index, tensor)

        return _map_tensors(value, change_next)

    def switch(self, change: Change | None) -> None:
        """Start to change tensors; ``None`` stops it."""
        self.change, self._seen = change, 0


@contextmanager
def replacing(replacers: Sequence[Replacer], change: Change) -> Iterator[None]:
    """Switch the replacers on inside ``with``."""
    for replacer in replacers:
        replacer.switch(change)
    try:
        yield
    finally:
        for replacer in replacers:
            replacer.switch(None)


def _map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to the tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return change(value) if value.is_floating_point() else value
    if isinstance(value, dict):
        return type(value)(
            (k, _map_tensors(v, change)) for k, v in value.items()
        )
    if isinstance(value, (list, tuple)):
        items = [_map_tensors(item, change) for item in value]
        named = hasattr(value, '_fields')
        return type(value)(*items) if named else type(value)(items)
    return value
