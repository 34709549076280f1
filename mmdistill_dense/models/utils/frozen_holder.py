"""A frozen model that is not a submodule of the student."""

import copy
from typing import Any

import torch
from torch import nn


class FrozenHolder(nn.Module):
    """Stores a frozen module without registering it as a child.

    So it is absent from parameters, optimizers, gradient buckets and
    checkpoints, and from ``modules()``, which hooks of the hosts iterate over
    (class checks, SyncBN conversion, averaging of buffers). Only ``.to()``
    and similar methods are forwarded.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []

    def set_frozen(
        self, module: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Freeze a module and store it, replacing the previous one."""
        freeze(module)
        self._frozen = [module.to(device=device, dtype=dtype)]

    @property
    def model(self) -> Any:
        """The frozen module, of any class; ``None`` before it is loaded."""
        return self._frozen[0] if self._frozen else None

    @property
    def loaded(self) -> bool:
        return bool(self._frozen)

    def _apply(self, *args: Any, **kwargs: Any) -> 'FrozenHolder':
        """Forward ``.to()``, ``.cuda()`` and others to the frozen module."""
        for module in self._frozen:
            module._apply(*args, **kwargs)
        return super()._apply(*args, **kwargs)

    def __deepcopy__(self, memo: dict) -> 'FrozenHolder':
        """Copy modules, but share their tensors, such as with an EMA copy.

        Moving a copy to another device or dtype replaces the tensors of the
        copy only.
        """
        for module in self._frozen:
            memo.update({id(b): b for b in module.buffers()})
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied


def freeze(model: nn.Module) -> None:
    """Turn parameters into non-persistent buffers, and switch to eval mode.

    ``.to()`` replaces buffers, but changes parameters in place: with buffers,
    copies that share tensors stay independent.
    """
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            del module._parameters[name]
            value = None if parameter is None else parameter.detach()
            module.register_buffer(name, value, persistent=False)
        module._non_persistent_buffers_set.update(module._buffers)
    model.eval()
