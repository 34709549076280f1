"""Mode ``losses``: each loss alone, in several forms and sizes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from . import loss_forms
from .arguments import PACKAGE, Settings
from .clock import device_clock, interleave
from .loss_forms import (
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

#: Maximum number of rounds for a slow loss.
MAX_SLOW_ROUNDS = 3
#: Row of the package's loss without a backward pass.
FORWARD = f'{PACKAGE}, forward'
BATCHES = LEVELS = (1, 2, 3, 4)
NOTE = (
    'extra: peak bytes over the inputs and one gradient. Bandwidth counts '
    'each input read once and, with backward, the gradient written once.'
)


@dataclass(frozen=True)
class Case:
    """A loss and the shapes of its maps, one per level."""

    title: str
    forms: Forms
    shapes: Sequence[Shape]
    sizes: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False


def cases(settings: Settings) -> dict[str, Case]:
    """Cases by name of the section."""

    def small(count: int) -> int:
        return count // 8 if settings.quick else count

    height, width, channels = small(200), small(336), small(256)
    levels = [
        (2, channels, -(-height // 2**i), -(-width // 2**i)) for i in range(5)
    ]
    logits = (small(8), 19, small(65), small(65))
    cells, queue = (small(128), channels, 7, 7), small(65536)
    contrast = partial(loss_forms.contrast, queue_length=queue)
    return {
        'cwd-neck': Case(
            'CWD, five levels', loss_forms.cwd, levels, dict(tau=1.0)
        ),
        'cwd-logits': Case(
            'CWD, logits', loss_forms.cwd, [logits], dict(tau=1.0)
        ),
        'maskd': Case(
            'MasKD', loss_forms.maskd, levels[:1], dict(tokens=TOKENS)
        ),
        'pcd': Case(
            'PCD', contrast, [cells], dict(queue=queue, tau=0.2), slow=True
        ),
    }


def run_losses(
    settings: Settings, echo: Callable[[str], None]
) -> Iterator[Section]:
    """Measure every loss at its size, then over many sizes if set."""
    for name, case in cases(settings).items():
        echo(f'{name}: measuring')
        check_forms(f'losses/{name}', case.forms, case.shapes, settings)
        sizes = dict(shapes=case.shapes, **case.sizes)
        rows = compare(case, settings)
        yield Section(f'losses/{name}', case.title, sizes, rows, [NOTE])
    if settings.scaling:
        for name, sweep in size_sweeps(settings).items():
            echo(f'{name}, scaling: measuring')
            yield Section(
                f'scaling/{name.lower().replace(" ", "-")}',
                f'{name}, scaling',
                dict(channels=sweep.channels),
                measure_scaling(sweep, settings),
            )


def compare(case: Case, settings: Settings) -> list[Row]:
    """Times, extra and saved bytes of all forms of a loss.

    The package's own form is also timed without gradients; a copy of the
    student's maps is the reference for bandwidth.
    """
    maps = draw_maps(case.shapes, settings)
    values = values_of(case.forms, maps, settings)
    runs = {name: partial(maps.grad, value) for name, value in values.items()}
    runs[FORWARD] = torch.no_grad()(values[PACKAGE])
    runs['copy'] = _copy(maps)
    is_slow = case.slow and settings.device == 'cpu'
    rows = []
    for name, seconds in _time(runs, settings, is_slow).items():
        factor = 2 if name in ('copy', FORWARD) else 3
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
    is_slow: bool = False,
) -> dict[str, list[float]]:
    rounds = (
        min(settings.num_rounds, MAX_SLOW_ROUNDS)
        if is_slow
        else settings.num_rounds
    )
    return interleave(
        runs,
        rounds,
        device_clock(settings.device),
        # The first call on a GPU compiles kernels, so its time does not
        # determine the number of calls.
        warmup=3 if settings.device == 'cuda' else 1,
        min_seconds=settings.min_seconds,
    )


def _copy(maps: Maps) -> Callable[[], object]:
    """Copy maps of the same size."""
    copies = [torch.empty_like(x) for x in maps.teacher]

    def run() -> None:
        for target, source in zip(copies, maps.teacher, strict=True):
            target.copy_(source)

    return run


@dataclass(frozen=True)
class SizeSweep:
    """Sizes at which a loss is measured.

    Attributes:
        forms: Forms of the loss.
        channels: Number of channels of the maps.
        grids: Heights and widths, with odd ones next to an even one.
        even: The even one, for growing batches and levels.
        batch: Number of images, where it does not grow.
    """

    forms: Forms
    channels: int
    grids: Sequence[tuple[int, int]]
    even: tuple[int, int]
    batch: int = 1

    def cases(self) -> Iterator[tuple[str, dict[str, list[Shape]]]]:
        """Shapes of each level, by axis and label."""
        n, c = self.batch, self.channels
        one: Shape = (n, c, *self.even)
        yield 'size', {f'{h}x{w}': [(n, c, h, w)] for h, w in self.grids}
        yield 'N', {str(i): [(n * i, c, *self.even)] for i in BATCHES}
        yield 'levels', {str(i): [one] * i for i in LEVELS}


def size_sweeps(settings: Settings) -> dict[str, SizeSweep]:
    """Size sweeps by title of the loss."""
    grids = [(50, 84), (100, 168), (199, 335), (200, 336), (201, 337)]
    grids, even, channels = [*grids, (400, 672)], (200, 336), 64
    cells = [(side, side) for side in (7, 14, 27, 28, 29, 56)]
    middle, queue = (28, 28), 4096
    if settings.quick:
        grids, even, channels = [(8, 12), (15, 23)], (8, 12), 8
        cells, middle, queue = cells[:2], (7, 7), 64
    elif settings.device == 'cuda':
        grids, channels = [*grids, (800, 1344)], 256
    contrast = partial(loss_forms.contrast, queue_length=queue)
    return {
        'CWD': SizeSweep(loss_forms.cwd, channels, grids, even),
        'pixel-wise KL': SizeSweep(loss_forms.pixel_wise, 19, grids, even),
        'MasKD': SizeSweep(loss_forms.maskd, channels, grids, even),
        'PCD': SizeSweep(contrast, channels, cells, middle, batch=4),
    }


def measure_scaling(sweep: SizeSweep, settings: Settings) -> list[Row]:
    """Measure a loss over sizes, batches and levels.

    All forms are measured over sizes, with their extra bytes; over batches
    and levels only the package's own form is.
    """
    rows = []
    for axis, cases in sweep.cases():
        runs, found = {}, []
        for label, shapes in cases.items():
            maps = draw_maps(shapes, settings)
            values = values_of(sweep.forms, maps, settings)
            for form in values if axis == 'size' else [PACKAGE]:
                name = f'{axis} {label}'
                name += '' if form == PACKAGE else f', {form}'
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
