"""A frozen model beside the student's own modules, not among them."""

import copy
from typing import Any

import torch
from torch import nn


class FrozenHolder(nn.Module):
    """Holds a frozen module that is no child of it.

    So it is absent from parameters, optimizers, gradient buckets and
    checkpoints, and hooks that walk through the student's modules (class
    checks, SyncBN conversion, averaging of buffers) do not meet it. Only
    ``.to()`` and its like are passed on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[nn.Module] = []

    def set_frozen(
        self, module: nn.Module, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Freeze a module and keep it, in place of what was held before."""
        freeze(module)
        self._frozen = [module.to(device=device, dtype=dtype)]

    @property
    def model(self) -> Any:
        """The module held, of any class; ``None`` before it is loaded."""
        return self._frozen[0] if self._frozen else None

    @property
    def loaded(self) -> bool:
        return bool(self._frozen)

    def _apply(self, *args: Any, **kwargs: Any) -> 'FrozenHolder':
        """Pass ``.to()``, ``.double()``, ``.cuda()`` on to what is held."""
        for module in self._frozen:
            module._apply(*args, **kwargs)
        return super()._apply(*args, **kwargs)

    def __deepcopy__(self, memo: dict) -> 'FrozenHolder':
        """Share the weights: an EMA copy needs them no second time.

        Modules are copied, tensors are not. Moving a copy to another device
        or dtype replaces its own tensors only.
        """
        for module in self._frozen:
            memo.update({id(b): b for b in module.buffers()})
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin


def freeze(model: nn.Module) -> None:
    """Turn parameters into buffers that no checkpoint holds.

    ``.to()`` gives a module new buffers, where it would write into
    parameters: so copies that share tensors stay independent.
    """
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            del module._parameters[name]
            value = None if parameter is None else parameter.detach()
            module.register_buffer(name, value, persistent=False)
        module._non_persistent_buffers_set.update(module._buffers)
    model.eval()
