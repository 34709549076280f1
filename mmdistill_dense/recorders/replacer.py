"""Change what a module puts out, or takes in, on its way through a model."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

#: From the number of a tensor in a forward pass, and the tensor.
Change = Callable[[int, Tensor], Tensor]


class Replacer:
    """An inert hook on one module that can change tensors as they pass.

    Args:
        module: The module.
        take: ``'output'`` or ``'input'``: which side is changed.
        first: Number of its first tensor in a forward pass.
        count: Tensors of a forward pass. Passes may follow each other, as
            with sliding windows: then counting begins again.
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
        """The value to go on with; ``None``: the one that came."""
        change = self.change
        if change is None:
            return None

        def pass_on(tensor: Tensor) -> Tensor:
            number = self.first + self._seen % self.count
            self._seen += 1
            return change(number, tensor)

        return _map_tensors(value, pass_on)

    def switch(self, change: Change | None) -> None:
        """Start to change tensors; ``None``: let them pass."""
        self.change, self._seen = change, 0


@contextmanager
def replacing(replacers: Sequence[Replacer], change: Change) -> Iterator[None]:
    """Change what passes inside ``with``."""
    for replacer in replacers:
        replacer.switch(change)
    try:
        yield
    finally:
        for replacer in replacers:
            replacer.switch(None)


def _map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nest of tuples, lists and dicts with other tensors in it."""
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
