"""Lists the modules of a model that can be recorded: ``--list``."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial

from rich.console import RenderableType
from torch import nn

from mmdistill_dense.models.hosts import (
    FeatureSpec,
    blank_batch,
    expand_alias,
    routes_of,
    run_route,
    spec_of,
)
from mmdistill_dense.models.hosts.rois import is_per_roi
from mmdistill_dense.models.utils import eval_mode
from mmdistill_dense.recorders import resolve_paths
from mmdistill_dense.recorders.recorder import iter_float_tensors

from .printing import format_size, table
from .terms import stride

Size = tuple[int, int]
_COLUMNS = ('module', 'class', 'route', 'shape of each level', 'stride')


@dataclass
class ModuleOutputs:
    """Outputs of a module in the dry runs.

    Args:
        route: The shortest route that calls the module.
        specs: Its tensors over all calls, as a recorder keeps them.
    """

    route: str
    specs: list[FeatureSpec] = field(default_factory=list)


def module_tables(
    model: nn.Module,
    size: Size,
    match: str | None = None,
    depth: int | None = None,
) -> list[RenderableType]:
    """Tables of the modules that are called, in the order of their calls.

    Args:
        model: A stock model.
        size: Height and width of the blank image, in pixels.
        match: Glob for the whole name; ``*`` also matches dots.
        depth: Largest number of dotted parts of a name.

    Raises:
        ValueError: If no module is left to show.
    """
    outputs = called_modules(model, size)
    shown = {
        name: value
        for name, value in outputs.items()
        if (not match or fnmatchcase(name, match))
        and (not depth or name.count('.') < depth)
    }
    if not shown:
        near = get_close_matches(match or '', outputs, n=4, cutoff=0)
        raise ValueError(
            f'--match {match!r} fits none of {len(outputs)} modules that are '
            f'called. Nearest names: {", ".join(near)}.'
        )
    kind = type(model).__name__
    title = f'{kind}, one blank image of {format_size(size)} pixels'
    classes = {n: type(m).__name__ for n, m in model.named_modules()}
    rows = [
        (name, classes[name], value.route, *_levels(name, value.specs))
        for name, value in shown.items()
    ]
    parts: list[RenderableType] = [table(title, _COLUMNS, rows)]
    if not match:
        aliases = list(_aliases(model, outputs))
        columns = ('at=', 'stands for', 'levels')
        parts.insert(0, table('Short names', columns, aliases))
        parts += _never_called(model, outputs)
    hidden = len(outputs) - len(shown)
    if hidden:
        parts.append(
            f'{hidden} of {len(outputs)} modules are not shown: --depth and '
            '--match choose.'
        )
    return parts


def called_modules(model: nn.Module, size: Size) -> dict[str, ModuleOutputs]:
    """Run every route of a model and record the modules it calls."""
    outputs: dict[str, ModuleOutputs] = {}
    for route in routes_of(model):
        calls: dict[str, ModuleOutputs] = {}
        with eval_mode(model), _recording_calls(model, route, size, calls):
            run_route(route, model, *blank_batch(model, size))
        # A module keeps the calls of the shortest route.
        outputs.update({k: v for k, v in calls.items() if k not in outputs})
    return outputs


@contextmanager
def _recording_calls(
    model: nn.Module, route: str, size: Size, calls: dict[str, ModuleOutputs]
) -> Iterator[None]:
    def enter(name: str, *_: object) -> None:
        calls.setdefault(name, ModuleOutputs(route))

    def leave(name: str, module: nn.Module, args: object, out: object) -> None:
        calls[name].specs += [
            spec_of(x, size) for x in iter_float_tensors(out)
        ]

    handles = []
    for name, module in model.named_modules():
        if name:
            handles += [
                module.register_forward_pre_hook(partial(enter, name)),
                module.register_forward_hook(partial(leave, name)),
            ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _levels(name: str, specs: list[FeatureSpec]) -> tuple[str, str]:
    """Shapes and strides of the outputs of a module."""
    if not specs:
        return 'no tensor', '-'
    if is_per_roi(name):
        shapes = [format_size(spec.shape[1:]) for spec in specs]
        return f'{", ".join(shapes)} per RoI', '-'
    if any(spec.shape[:1] != (1,) for spec in specs):
        return f'{format_size(specs[0].shape)}, not one per image', '-'
    shapes = [format_size(spec.shape[1:]) for spec in specs]
    return ', '.join(shapes), ', '.join(map(stride, specs))


def _aliases(
    model: nn.Module, outputs: dict[str, ModuleOutputs]
) -> Iterator[tuple]:
    names = [name for name, _ in model.named_modules()]
    for alias in ('backbone', 'neck', 'logits'):
        try:
            path = expand_alias(alias, model)
            members = resolve_paths(path, names)
        except ValueError:
            continue
        specs = [s for m in members if m in outputs for s in outputs[m].specs]
        if specs:
            stands_for = path if path != alias else f'the whole {alias}'
            yield repr(alias), stands_for, '; '.join(map(str, specs))


def _never_called(
    model: nn.Module, outputs: dict[str, ModuleOutputs]
) -> Iterator[RenderableType]:
    """Names of containers, which are never called, and of unused modules."""
    uncalled = {
        n: m for n, m in model.named_modules() if n and n not in outputs
    }
    containers = [n for n in uncalled if _members(n, outputs)]
    idle = [
        name
        for name, module in uncalled.items()
        if name not in containers and any(True for _ in module.parameters())
    ]
    idle = [n for n in idle if not any(n in _members(m, idle) for m in idle)]
    if containers:
        yield (
            'Never called themselves, so record their members: '
            + ', '.join(_abbreviate(containers))
        )
    if idle:
        yield 'On no route: ' + ', '.join(_abbreviate(idle))


def _members(name: str, others: Iterable[str]) -> list[str]:
    return [other for other in others if other.startswith(f'{name}.')]


def _abbreviate(names: list[str]) -> dict[str, None]:
    """Unique names, with ``*`` for every number but the last."""
    return dict.fromkeys(re.sub(r'\.\d+(?=\.)', '.*', n) for n in names)
