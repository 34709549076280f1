"""Time and memory of every loss against H*W, N and the number of levels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from . import forms
from .clock import device_clock, interleave
from .forms import Maps, Shape, Value, draw_maps, train
from .measurements import Claim, Row, Section
from .meter import measure
from .settings import Settings

Form = Callable[[Maps, Settings], dict[str, Value]]
Grid = tuple[int, int]
#: Largest time per element over the median of all sizes, and over that of
#: the even size beside odd ones.
LINEAR, STEP = 1.5, 1.25
BATCHES = LEVELS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Plan:
    """What sizes a loss is measured at.

    Attributes:
        form: Gives its forms.
        channels: Of the maps.
        grids: Heights and widths, growing; one even, odd ones beside it.
        even: The even one that the odd ones are compared with.
        odd: Those.
        batch: Images, where their number is not what changes.
        small: How many of the first grids are left out of the claim of
            linear growth: what a call takes at all counts there.
    """

    form: Form
    channels: int
    grids: Sequence[Grid]
    even: Grid
    odd: Sequence[Grid]
    batch: int = 1
    small: int = 1


def plans(settings: Settings) -> dict[str, Plan]:
    """Losses by name."""
    if settings.quick:
        grids, even = [(8, 12), (15, 23), (16, 24)], (16, 24)
        cells, middle = [(5, 5), (6, 6), (7, 7)], (6, 6)
    else:
        grids = [(50, 84), (100, 168), (199, 335), (200, 336), (201, 337)]
        grids, even = [*grids, (400, 672)], (200, 336)
        cells = [(7, 7), (14, 14), (27, 27), (28, 28), (29, 29), (56, 56)]
        middle = (28, 28)
    if settings.device == 'cuda' and not settings.quick:
        grids = [*grids, (800, 1344)]
    wide = 8 if settings.quick else dict(cpu=64, cuda=256)[settings.device]
    odd = [grid for grid in grids if grid[0] % 2]
    queue = 64 if settings.quick else 4096
    contrast = partial(forms.contrast, queue_length=queue)
    near = [grid for grid in cells if grid[0] % 2 and grid[0] > 7] or cells[:1]
    return {
        'CWD': Plan(forms.cwd, wide, grids, even, odd),
        'pixel-wise KL': Plan(forms.pixel_wise, 19, grids, even, odd),
        'MasKD': Plan(forms.maskd, wide, grids, even, odd),
        'PCD': Plan(contrast, wide, cells, middle, near, batch=4),
    }


def run_scaling(
    settings: Settings, say: Callable[[str], None]
) -> Iterator[Section]:
    """A section for each loss: by size, by batch, by levels."""
    for name, plan in plans(settings).items():
        key = name.lower().replace(' ', '-')
        sizes = dict(channels=plan.channels)
        section = Section(f'scaling/{key}', f'{name}, scaling', sizes)
        section.notes.append(
            f'linear: the largest time per element over their median, of all '
            f'but the {plan.small} smallest grid. odd: over that of '
            f'{plan.even[0]}x{plan.even[1]}.'
        )
        say(f'{section.title}: measuring')
        _by_size(section, plan, settings)
        _by_batch(section, plan, settings)
        _by_levels(section, plan, settings)
        yield section


def _label(grid: Grid) -> str:
    return f'{grid[0]}x{grid[1]}'


def _by_size(section: Section, plan: Plan, settings: Settings) -> None:
    cases = {
        _label(grid): [(plan.batch, plan.channels, *grid)]
        for grid in plan.grids
    }
    _measure(section, 'size', cases, plan.form, settings, alone=False)
    large = [f'size {_label(grid)}' for grid in plan.grids[plan.small :]]
    odd = [f'size {_label(grid)}' for grid in plan.odd]
    even = f'size {_label(plan.even)}'
    section.claims += [
        Claim('linear in H*W', 'evenness', large, target=LINEAR),
        Claim('odd sizes', 'against one', odd, even, target=STEP),
    ]


def _by_batch(section: Section, plan: Plan, settings: Settings) -> None:
    cases = {
        str(count): [(plan.batch * count, plan.channels, *plan.even)]
        for count in BATCHES
    }
    _measure(section, 'N', cases, plan.form, settings)
    _claim_linear(section, 'N', cases)


def _by_levels(section: Section, plan: Plan, settings: Settings) -> None:
    one: Shape = (plan.batch, plan.channels, *plan.even)
    cases = {str(count): [one] * count for count in LEVELS}
    _measure(section, 'levels', cases, plan.form, settings)
    _claim_linear(section, 'levels', cases)


def _claim_linear(section: Section, axis: str, cases: dict) -> None:
    names = [f'{axis} {label}' for label in cases]
    section.claims.append(
        Claim(f'linear in {axis}', 'evenness', names, target=LINEAR)
    )


def _measure(
    section: Section,
    axis: str,
    cases: dict[str, list[Shape]],
    form: Form,
    settings: Settings,
    alone: bool = True,
) -> None:
    """Add a row for each case: of ours, and of all forms if not ``alone``.

    Bytes are counted in the latter case only, once is enough.
    """
    rows, runs = _cases(axis, cases, form, settings, alone)
    clock = device_clock(settings.device)
    times = interleave(runs, settings.turns, clock, shortest=settings.shortest)
    for row in rows:
        row.seconds = times[row.name]
        if not alone:
            peak = measure(runs[row.name], settings.device).peak
            row.bytes['extra'] = peak - row.bytes['feature']
    section.rows += rows


def _cases(
    axis: str,
    cases: dict[str, list[Shape]],
    form: Form,
    settings: Settings,
    alone: bool,
) -> tuple[list[Row], dict[str, Callable[[], object]]]:
    """Empty rows, and what is to be timed for each."""
    rows, runs = [], {}
    for label, shapes in cases.items():
        maps = draw_maps(shapes, settings)
        values = form(maps, settings)
        for key in ['ours'] if alone else values:
            other = '' if key == 'ours' else f', {key}'
            name = f'{axis} {label}{other}'
            runs[name] = partial(train, values[key], maps)
            about = dict(axis=axis, at=label, form=key, elements=maps.elements)
            rows.append(Row(name, about=about, bytes=dict(feature=maps.bytes)))
    return rows, runs
