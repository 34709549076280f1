"""Fold batch norms into the convolutions before them."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils._python_dispatch import TorchDispatchMode

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def fold_batch_norms(model: nn.Module, run: Callable[[], Any]) -> int:
    """Fold every batch norm that follows a convolution directly.

    The pairs are found in one forward pass, not by names: the input of the
    norm is the output of the convolution, nothing else reads it, and both
    modules are called once. Modules with hooks, such as recorders, are not
    folded.

    Args:
        model: Model in eval mode, float32 or float64; changed in place.
        run: Runs one pass without gradients through the part in use.

    Returns:
        Number of folded norms, which are replaced by ``Identity``.
    """
    counter = _ReadCounter(model)
    with counter:
        run()
    shared = _shared_weights(model)
    pairs = [
        (conv, norm)
        for conv, norm in counter.pairs()
        if id(model.get_submodule(conv).weight) not in shared
    ]
    for conv, norm in pairs:
        _fold(model, conv, norm)
    return len(pairs)


class _ReadCounter(TorchDispatchMode):
    """Records the outputs of convolutions, and how often they are read."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        #: Output and module by id; keeping the tensor keeps its id unique.
        self._outputs: dict[int, tuple[Tensor, str]] = {}
        self._reads: dict[int, int] = {}
        self._inputs: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        self._handles: list = []
        for name, module in model.named_modules():
            self._add_hook(name, module)

    def _add_hook(self, name: str, module: nn.Module) -> None:
        if module._forward_hooks or module._forward_pre_hooks:
            return
        # Subclasses may compute more than their base.
        if type(module) is nn.Conv2d:
            hook = module.register_forward_hook(
                lambda _, args, output: self._record_output(name, output)
            )
        elif type(module) in _NORMS and module.track_running_stats:
            hook = module.register_forward_pre_hook(
                lambda _, args: self._record_input(name, args[0])
            )
        else:
            return
        self._handles.append(hook)

    def _record_output(self, name: str, output: Tensor) -> None:
        self._calls[name] = self._calls.get(name, 0) + 1
        self._outputs[id(output)] = output, name
        self._reads[id(output)] = 0

    def _record_input(self, name: str, value: Tensor) -> None:
        self._calls[name] = self._calls.get(name, 0) + 1
        self._inputs[name] = id(value)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Any = None
    ) -> Any:
        for tensor in _tensors((args, kwargs)):
            if id(tensor) in self._reads:
                self._reads[id(tensor)] += 1
        return func(*args, **(kwargs or {}))

    def __exit__(self, *args: Any) -> None:
        super().__exit__(*args)
        for handle in self._handles:
            handle.remove()

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Names of convolutions, each with the only norm that reads it."""
        for norm, key in self._inputs.items():
            _, conv = self._outputs.get(key, (None, ''))
            once = self._calls[norm] == self._calls.get(conv) == 1
            if once and self._reads[key] == 1:
                yield conv, norm


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _shared_weights(model: nn.Module) -> set[int]:
    """Ids of weights that several modules share."""
    seen: set[int] = set()
    shared: set[int] = set()
    for module in model.modules():
        for parameter in module._parameters.values():
            if id(parameter) in seen:
                shared.add(id(parameter))
            seen.add(id(parameter))
    return shared - {id(None)}


def _fold(model: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = map(model.get_submodule, (conv_name, norm_name))
    with torch.no_grad():
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight,
            conv.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
    parent, _, leaf = norm_name.rpartition('.')
    model.get_submodule(parent)._modules[leaf] = nn.Identity()
