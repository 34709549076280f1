"""Mode ``losses``: every loss by itself, in several forms and sizes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from . import forms
from .arguments import Settings
from .clock import device_clock, interleave
from .forms import (
    TOKENS,
    Forms,
    Maps,
    Shape,
    check_forms,
    draw_maps,
    values_of,
)
from .measurements import Row, Section
from .meter import measure, saved_bytes

#: Rounds at most where one pass takes many seconds.
FEW = 3
BATCHES = LEVELS = (1, 2, 3, 4)
NOTE = (
    'extra: peak bytes over the inputs and one gradient. Bandwidth counts '
    'each input read once and, with backward, the gradient written once.'
)


@dataclass(frozen=True)
class Case:
    """A loss and the maps that it is measured on, one shape a level."""

    title: str
    forms: Forms
    shapes: Sequence[Shape]
    sizes: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False


def cases(settings: Settings) -> dict[str, Case]:
    """By name of the section."""

    def small(count: int) -> int:
        return count // 8 if settings.quick else count

    height, width, channels = small(200), small(336), small(256)
    levels = [
        (2, channels, -(-height // 2**i), -(-width // 2**i)) for i in range(5)
    ]
    logits = (small(8), 19, small(65), small(65))
    cells, queue = (small(128), channels, 7, 7), small(65536)
    contrast = partial(forms.contrast, queue_length=queue)
    return {
        'cwd-neck': Case('CWD, five levels', forms.cwd, levels, dict(tau=1.0)),
        'cwd-logits': Case('CWD, logits', forms.cwd, [logits], dict(tau=1.0)),
        'maskd': Case('MasKD', forms.maskd, levels[:1], dict(tokens=TOKENS)),
        'pcd': Case(
            'PCD', contrast, [cells], dict(queue=queue, tau=0.2), slow=True
        ),
    }


def run_losses(
    settings: Settings, echo: Callable[[str], None]
) -> Iterator[Section]:
    """Measure every loss at its size, then over many sizes if wanted."""
    for name, case in cases(settings).items():
        echo(f'{name}: measuring')
        check_forms(f'losses/{name}', case.forms, case.shapes, settings)
        sizes = dict(shapes=case.shapes, **case.sizes)
        rows = compare(case, settings)
        yield Section(f'losses/{name}', case.title, sizes, rows, [NOTE])
    if settings.scaling:
        for name, growth in growths(settings).items():
            echo(f'{name}, scaling: measuring')
            yield Section(
                f'scaling/{name.lower().replace(" ", "-")}',
                f'{name}, scaling',
                dict(channels=growth.channels),
                scale(growth, settings),
            )


def compare(case: Case, settings: Settings) -> list[Row]:
    """Times, extra and saved bytes of all forms of a loss.

    ``ours`` is timed without gradients too, and so is a copy of the
    student's maps.
    """
    maps = draw_maps(case.shapes, settings)
    values = values_of(case.forms, maps, settings)
    runs = {name: partial(maps.grad, value) for name, value in values.items()}
    runs['ours, forward'] = torch.no_grad()(values['ours'])
    runs['copy'] = _copy(maps)
    few = case.slow and settings.device == 'cpu'
    rows = []
    for name, seconds in _time(runs, settings, few).items():
        factor = 2 if name in ('copy', 'ours, forward') else 3
        row = Row(name, seconds, dict(feature=maps.bytes))
        row.bytes['traffic'] = maps.bytes * factor
        if name in values:
            peak = measure(runs[name], settings.device).peak
            row.bytes['extra'] = peak - maps.bytes
            row.bytes['saved'] = saved_bytes(values[name])
        rows.append(row)
    return rows


def _time(
    runs: Mapping[str, Callable[[], object]],
    settings: Settings,
    few: bool = False,
) -> dict[str, list[float]]:
    rounds = min(settings.turns, FEW) if few else settings.turns
    return interleave(
        runs,
        rounds,
        device_clock(settings.device),
        # The first call on a GPU compiles kernels: it tells nothing of how
        # many calls a time has to be taken over.
        warmup=3 if settings.device == 'cuda' else 1,
        shortest=settings.shortest,
    )


def _copy(maps: Maps) -> Callable[[], object]:
    """A plain copy of maps as large."""
    copies = [torch.empty_like(x) for x in maps.teacher]

    def run() -> None:
        for target, source in zip(copies, maps.teacher, strict=True):
            target.copy_(source)

    return run


@dataclass(frozen=True)
class Growth:
    """What sizes a loss is measured at.

    Attributes:
        forms: Its forms.
        channels: Of the maps.
        grids: Heights and widths, with odd ones beside an even one.
        even: The even one, for growing batches and levels.
        batch: Images, where their number does not grow.
    """

    forms: Forms
    channels: int
    grids: Sequence[tuple[int, int]]
    even: tuple[int, int]
    batch: int = 1

    def cases(self) -> Iterator[tuple[str, dict[str, list[Shape]]]]:
        """By axis and label, the shapes of each level."""
        n, c = self.batch, self.channels
        one: Shape = (n, c, *self.even)
        yield 'size', {f'{h}x{w}': [(n, c, h, w)] for h, w in self.grids}
        yield 'N', {str(i): [(n * i, c, *self.even)] for i in BATCHES}
        yield 'levels', {str(i): [one] * i for i in LEVELS}


def growths(settings: Settings) -> dict[str, Growth]:
    """By title of the loss."""
    grids = [(50, 84), (100, 168), (199, 335), (200, 336), (201, 337)]
    grids, even, channels = [*grids, (400, 672)], (200, 336), 64
    cells = [(side, side) for side in (7, 14, 27, 28, 29, 56)]
    middle, queue = (28, 28), 4096
    if settings.quick:
        grids, even, channels = [(8, 12), (15, 23)], (8, 12), 8
        cells, middle, queue = cells[:2], (7, 7), 64
    elif settings.device == 'cuda':
        grids, channels = [*grids, (800, 1344)], 256
    contrast = partial(forms.contrast, queue_length=queue)
    return {
        'CWD': Growth(forms.cwd, channels, grids, even),
        'pixel-wise KL': Growth(forms.pixel_wise, 19, grids, even),
        'MasKD': Growth(forms.maskd, channels, grids, even),
        'PCD': Growth(contrast, channels, cells, middle, batch=4),
    }


def scale(growth: Growth, settings: Settings) -> list[Row]:
    """Times by size, of all forms, with bytes; by batch and levels, ours."""
    rows = []
    for axis, cases in growth.cases():
        runs, found = {}, []
        for label, shapes in cases.items():
            maps = draw_maps(shapes, settings)
            values = values_of(growth.forms, maps, settings)
            for form in values if axis == 'size' else ['ours']:
                name = f'{axis} {label}'
                name += '' if form == 'ours' else f', {form}'
                runs[name] = partial(maps.grad, values[form])
                about = dict(axis=axis, at=label, form=form)
                about['elements'] = maps.elements
                size = dict(feature=maps.bytes)
                found.append(Row(name, bytes=size, about=about))
        times = _time(runs, settings)
        for row in found:
            row.seconds = times[row.name]
            if axis == 'size':
                peak = measure(runs[row.name], settings.device).peak
                row.bytes['extra'] = peak - row.bytes['feature']
        rows += found
    return rows
