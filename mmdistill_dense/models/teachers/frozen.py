"""The frozen teacher, observed while it sees the student's images."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts import (
    InputAdapter,
    InputForm,
    Probe,
    expand_alias,
    follow,
    forked_rng,
    probe,
)
from .config import build_model, resolve_config
from .loading import load_weights


class FrozenTeacher(nn.Module):
    """A stock model that only looks, its weights shared by all copies.

    Frozen, in eval mode (dropout and drop path too), without gradients,
    strictly loaded, shared by deep copies, absent from parameters, buckets
    and checkpoints, and brief: it runs nothing past the last module that is
    recorded. ``load`` brings the weights where training starts; before, in
    test and predict, no teacher is held in memory.

    Its model is no registered child, so hooks that walk through the
    student's modules (class checks, SyncBN conversion, averaging of buffers)
    do not meet it. Only ``.to()`` and its like are passed on.

    Args:
        name: Its name in the config, for messages.
        cfg: ``'package::path'``, a file or a dict.
        checkpoint: File or address of its weights.
        cfg_options: Merged into ``cfg``.
        allow: Glob patterns of state dict keys that may differ from the
            checkpoint's.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If it holds no model.
    """

    def __init__(
        self,
        name: str,
        cfg: str | dict,
        checkpoint: str | None = None,
        cfg_options: dict | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.name = name
        self.config = resolve_config(cfg, cfg_options)
        self.checkpoint = checkpoint
        self.allow = [allow] if isinstance(allow, str) else list(allow)
        self._held: list[nn.Module] = []
        self.adapter: InputAdapter | None = None
        #: What each term records, in words.
        self.recorded: dict[str, str] = {}
        self._taps: dict[str, dict] = {}
        self._probe: Probe | None = None
        self._recorders: RecorderSet | None = None

    def attach(
        self,
        taps: Mapping[str, dict],
        student: InputForm,
        input_size: tuple[int, int],
    ) -> Probe:
        """Say what to record, and learn its shapes from a dry run.

        A model is built for it and let go again.

        Args:
            taps: What each term records: ``path``, ``take``, ``clone``.
            student: Form of the batches that will come.
            input_size: Height and width of the dry run's image, in pixels.
        """
        self._taps = dict(taps)
        with forked_rng():
            model, recorders = self._build()
            found = probe(model, recorders, list(taps), input_size)
        self.recorded = {key: str(recorders[key]) for key in taps}
        self._probe = Probe(found.route, found.calls, found.specs, {})
        self.adapter = InputAdapter(student, InputForm.of(model))
        return found

    def _build(self) -> tuple[nn.Module, RecorderSet]:
        model = build_model(self.config)
        recorders = RecorderSet(model)
        for key, tap in self._taps.items():
            path = expand_alias(tap['path'], model)
            recorders.add(model, key, **{**tap, 'path': path})
        return model, recorders

    @property
    def model(self) -> nn.Module | None:
        """The stock model; ``None`` before it is loaded."""
        return self._held[0] if self._held else None

    @property
    def loaded(self) -> bool:
        return bool(self._held)

    def load(self, like: Tensor) -> None:
        """Build the model, load it strictly, freeze it.

        Args:
            like: A parameter of the student, for device and dtype.

        Raises:
            ValueError: If no checkpoint is given, or it does not fit.
            FileNotFoundError: If it does not exist.
        """
        if not self.checkpoint:
            raise ValueError(
                f'teacher {self.name!r} has no checkpoint, so it would teach '
                'noise. Set teacher.checkpoint to a file or an address.'
            )
        with forked_rng():
            model, self._recorders = self._build()
        load_weights(model, self.checkpoint, self.allow, self.name)
        freeze(model)
        self._held = [model.to(device=like.device, dtype=like.dtype)]
        self.to(device=like.device)

    @torch.no_grad()
    def forward(
        self, inputs: Tensor, samples: list, keys: Sequence[str]
    ) -> dict[str, list[Tensor]]:
        """Look at the student's batch.

        Args:
            inputs: Images (N, 3, H, W) as the student gets them.
            samples: Their data samples; only metainfo is read.
            keys: Terms that want features.

        Returns:
            The levels of each term, detached.
        """
        images = self.adapter(inputs, samples)
        with self._recorders.recording(keys, self._probe.calls):
            follow(self._probe.route, self.model, images, samples)
            return {key: self._recorders[key].read() for key in keys}

    def rehearse(self) -> tuple[nn.Module, Callable]:
        """A model of random weights, and the brief pass through it.

        For tools that look at what runs; the teacher keeps neither.

        Returns:
            The stock model, and a function of images and data samples that
            leaves where all terms have what they record.
        """
        with forked_rng():
            model, recorders = self._build()

        def run(images: Tensor, samples: list) -> None:
            with recorders.recording(self._taps, self._probe.calls):
                follow(self._probe.route, model, images, samples)

        return model, run

    @property
    def route(self) -> str:
        """Name of the route that the dry run found."""
        return self._probe.route

    def _apply(self, *args: Any, **kwargs: Any) -> 'FrozenTeacher':
        """Pass ``.to()``, ``.double()``, ``.cuda()`` on to the model."""
        for model in self._held:
            model._apply(*args, **kwargs)
        return super()._apply(*args, **kwargs)

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        """Share the weights: an EMA copy needs no second teacher in memory.

        Modules are copied, tensors are not. Moving a copy to another device
        or dtype replaces its own tensors only.
        """
        for model in self._held:
            memo.update({id(b): b for b in model.buffers()})
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
