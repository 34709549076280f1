"""Modules of a teacher that a student's map runs on through."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet, resolve_paths

from ..hosts import FeatureSpec, blank_sample
from ..utils import eval_mode, freeze
from .speed import SpeedSwitches
from .stock import StockTeacher

#: Largest relative difference to the teacher's own output.
_TOLERANCE = 1e-4


class ThroughTeacher(StockTeacher):
    """A stock teacher, some of whose modules a student's map runs through.

    The modules are frozen, in eval mode and as loaded: switches for speed
    do not change them, and a gradient passes to their input. They run where
    they are called, with the student's precision and on its stream.
    """

    switches: SpeedSwitches
    #: Set by the subclass, as is ``_record``.
    input_adapter: Any
    _input_size: tuple[int, int]
    _record_cfgs: dict[str, dict]
    _record: Any

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        #: Paths of the modules by term and level.
        self.chains: dict[str, list[list[str]]] = {}
        self._copies: nn.ModuleDict | None = None

    def set_chains(
        self,
        model: nn.Module,
        recorders: RecorderSet,
        through: Mapping[str, Sequence[str]],
        specs: Mapping[str, Sequence[FeatureSpec]],
    ) -> dict[str, list[FeatureSpec]]:
        """Set the modules of each term, and compare them with a pass.

        Args:
            model: The model of the dry run.
            recorders: Its recorders.
            through: Module paths by term, in the order in which they run;
                ``{level}`` stands for the index of the teacher's level.
            specs: What each term records, at the end of its modules.

        Returns:
            Levels of the input of the first module, by term.

        Raises:
            ValueError: If a module does not exist, or if the modules do not
                give what the term records for what the first one takes.
        """
        names = [name for name, _ in model.named_modules()]
        inputs: dict[str, list[FeatureSpec]] = {}
        for term, patterns in through.items():
            chains = [
                [
                    path
                    for pattern in patterns
                    for path in resolve_paths(
                        pattern.replace('{level}', str(level)), names
                    )
                ]
                for level in range(len(specs[term]))
            ]
            self._hooks = recorders
            with eval_mode(model):
                run = partial(
                    self._features_of_noise_image,
                    model,
                    next(model.parameters()),
                    SpeedSwitches(),
                )
                taken, features = _taken(model, chains, run)
                _check_same(model, chains, taken, features[term])
            self._hooks = None
            inputs[term] = [
                replace(spec, shape=tuple(x.shape), scores=None)
                for spec, x in zip(specs[term], taken, strict=True)
            ]
            self.chains[term] = chains
        return inputs

    def _modify_model(self, model: nn.Module) -> None:
        self._copies = None
        paths = {
            path
            for chains in self.chains.values()
            for chain in chains
            for path in chain
        }
        changed = self.switches.changes_model or self.switches.compile
        if paths and changed:
            self._copies = nn.ModuleDict(
                {_key(p): deepcopy(model.get_submodule(p)) for p in paths}
            )

    def _features_of_noise_image(
        self, model: nn.Module, like: Tensor, switches: SpeedSwitches
    ) -> dict[str, list[Tensor]]:
        """Features of all terms on a fixed image of noise."""
        size = self._input_size
        shape = 1, len(self.input_adapter.teacher.mean), *size
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        batch = noise.to(like), [blank_sample(size)]
        return self._record(
            model, *batch, list(self._record_cfgs), None, switches
        )

    def load(self, like: Tensor) -> None:
        """Load as :meth:`StockTeacher.load`."""
        super().load(like)
        if self._copies is not None:
            freeze(self._copies)
            copies = self._copies.to(device=like.device, dtype=like.dtype)
            # Moved and copied with the model, and no child either.
            self._frozen.append(copies)
        self._copies = None

    def run_through(self, term: str, level: int, x: Tensor) -> Tensor:
        """Run a map of the student through the modules of a term.

        Args:
            term: Name of the term.
            level: Index of the teacher's level.
            x: Map (N, C, H, W) with the channels of their input.
        """
        copies = self._frozen[1] if len(self._frozen) > 1 else None
        modules = [
            self.model.get_submodule(path)
            if copies is None
            else copies.get_submodule(_key(path))
            for path in self.chains[term][level]
        ]
        return run_chain(modules, x)


def run_chain(modules: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Run modules one after another; ``x`` itself is not changed."""
    if getattr(modules[0], 'inplace', False):
        x = x.clone()
    for module in modules:
        x = module(x)
    return x


def _key(path: str) -> str:
    return path.replace('.', '/')


def _taken(
    model: nn.Module,
    chains: Sequence[Sequence[str]],
    run: Callable[[], dict[str, list[Tensor]]],
) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
    """Inputs of the first module of each chain in a pass, and its features."""
    calls: dict[str, list[Tensor]] = {chain[0]: [] for chain in chains}
    handles = [
        model.get_submodule(path).register_forward_pre_hook(
            lambda _, args, inputs=inputs: inputs.append(args[0].clone()),
        )
        for path, inputs in calls.items()
    ]
    try:
        features = run()
    finally:
        for handle in handles:
            handle.remove()
    taken = []
    for chain in chains:
        if not calls[chain[0]]:
            raise ValueError(
                f'through: {chain[0]!r} is called less often than there are '
                f'levels, {len(chains)}, so the teacher runs it otherwise. A '
                "module of its own for each level is written as 'name."
                "{level}'."
            )
        taken.append(calls[chain[0]].pop(0))
    return taken, features


def _check_same(
    model: nn.Module,
    chains: Sequence[Sequence[str]],
    taken: Sequence[Tensor],
    recorded: Sequence[Tensor],
) -> None:
    for level, chain in enumerate(chains):
        modules = [model.get_submodule(path) for path in chain]
        expected = recorded[level]
        try:
            found = run_chain(modules, taken[level])
            same = found.shape == expected.shape and torch.allclose(
                found, expected, _TOLERANCE, _TOLERANCE * expected.std().item()
            )
        except (RuntimeError, TypeError, NotImplementedError):
            same = False
        if not same:
            raise ValueError(
                f'through: the teacher runs {", ".join(chain)} otherwise: '
                'on a noise image they do not give what the term records of '
                f'it at level {level}. Name all modules from the map that the '
                'student gives to the one whose output is recorded '
                "(at=dict(teacher=...)), in their order, with '{level}' where "
                'each level has its own.'
            )
