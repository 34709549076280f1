"""Mode ``losses``: every loss by itself, against other forms of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch

from . import BenchmarkError, forms
from .clock import device_clock, interleave
from .forms import (
    PEER,
    PLAIN,
    TOKENS,
    Maps,
    Shape,
    Value,
    draw_maps,
    train,
)
from .measurements import Claim, Row, Section
from .meter import measure, saved_bytes
from .products import float32_products
from .scaling import run_scaling
from .settings import Settings

#: Relative difference of two values of one loss, in full precision.
TOLERANCE = 1e-3
#: Targets on a CPU and on a GPU.
CWD_TIME = dict(cpu=0.5, cuda=0.2)
MASKD_TIME = dict(cpu=0.35, cuda=0.15)
BANDWIDTH = dict(cpu=None, cuda=0.8)
#: Rounds at most where one pass takes many seconds.
FEW = 3
NOTE = (
    'extra: peak bytes over the inputs and one gradient. Bandwidth counts '
    'each input read once and, with backward, the gradient written once.'
)


def run_losses(
    settings: Settings, say: Callable[[str], None]
) -> Iterator[Section]:
    """Measure every loss at its size, then over many sizes if wanted."""
    sections = dict(
        cwd_neck=_cwd_neck, cwd_logits=_cwd_logits, maskd=_maskd, pcd=_pcd
    )
    for name, make in sections.items():
        say(f'{name}: measuring')
        yield make(settings)
    if settings.scaling:
        yield from run_scaling(settings, say)


def _cwd_neck(settings: Settings) -> Section:
    count, side = (1, (16, 24)) if settings.quick else (2, (200, 336))
    shapes = [
        (count, 256, -(-side[0] // 2**i), -(-side[1] // 2**i))
        for i in range(5)
    ]
    section = _cwd('losses/cwd-neck', 'CWD, five levels', shapes, settings)
    section.claims += bandwidth_claims(BANDWIDTH[settings.device])
    return section


def _cwd_logits(settings: Settings) -> Section:
    count, side = (2, 17) if settings.quick else (8, 65)
    shapes = [(count, 19, side, side)]
    return _cwd('losses/cwd-logits', 'CWD, logits', shapes, settings)


def _cwd(
    name: str, title: str, shapes: Sequence[Shape], settings: Settings
) -> Section:
    section = Section(name, title, dict(shapes=shapes, tau=1.0), notes=[NOTE])
    compare(section, shapes, forms.cwd, settings, settings.turns)
    other = PEER if settings.peer else PLAIN
    limit = CWD_TIME[settings.device]
    section.claims = [
        Claim(f'ours / {other}', 'time', ['ours'], other, target=limit),
        Claim('extra / map', 'extra share', ['ours'], target=0.05),
    ]
    return section


def _maskd(settings: Settings) -> Section:
    shape = (1, 32, 16, 24) if settings.quick else (2, 256, 200, 336)
    sizes = dict(shapes=[shape], tokens=TOKENS)
    section = Section('losses/maskd', 'MasKD', sizes, notes=[NOTE])
    compare(section, [shape], forms.maskd, settings, settings.turns)
    limit = MASKD_TIME[settings.device]
    section.claims = [
        Claim(f'ours / {PLAIN}', 'time', ['ours'], PLAIN, target=limit),
        Claim('saved / map', 'saved share', ['ours'], target=1.1),
        *bandwidth_claims(BANDWIDTH[settings.device]),
    ]
    return section


def _pcd(settings: Settings) -> Section:
    shape = (4, 32, 7, 7) if settings.quick else (128, 256, 7, 7)
    length = 512 if settings.quick else 65536
    sizes = dict(shapes=[shape], queue=length, tau=0.2)
    section = Section('losses/pcd', 'PCD', sizes, notes=[NOTE])
    form = partial(forms.contrast, queue_length=length)
    on_gpu = settings.device == 'cuda'
    rounds = settings.turns if on_gpu else min(settings.turns, FEW)
    compare(section, [shape], form, settings, rounds)
    section.claims = [
        Claim(f'ours / {PLAIN}', 'time', ['ours'], PLAIN, target=1.0),
        Claim('extra, MiB', 'extra MiB', ['ours'], target=256),
    ]
    return section


def compare(
    section: Section,
    shapes: Sequence[Shape],
    form: Callable[[Maps, Settings], dict[str, Value]],
    settings: Settings,
    rounds: int,
) -> None:
    """Measure forms of one loss: times, extra and saved bytes.

    ``ours`` is timed without gradients too, and so is a copy of the
    student's maps. Rows are added to the section.

    Raises:
        BenchmarkError: If the forms give different values.
    """
    full = replace(settings, precision='fp32')
    with float32_products('fp32'):
        values = form(draw_maps(shapes, full), full)
        check_equal(section.name, values, TOLERANCE)
    maps = draw_maps(shapes, settings)
    values = form(maps, settings)
    runs = {key: partial(train, value, maps) for key, value in values.items()}
    runs['ours, forward'] = torch.no_grad()(values['ours'])
    runs['copy'] = _copy(maps)
    times = interleave(
        runs,
        rounds,
        device_clock(settings.device),
        shortest=settings.shortest,
    )
    for name, run in runs.items():
        row = Row(name, times[name])
        reads_only = name in ('copy', 'ours, forward')
        traffic = maps.bytes * (2 if reads_only else 3)
        row.bytes = dict(feature=maps.bytes, traffic=traffic)
        if name in values:
            extra = measure(run, settings.device).peak - maps.bytes
            row.bytes.update(extra=extra, saved=saved_bytes(values[name]))
        section.rows.append(row)


def _copy(maps: Maps) -> Callable[[], object]:
    """A plain copy of maps as large."""
    targets = [torch.empty_like(theirs) for theirs in maps.teacher]

    def run() -> None:
        for target, theirs in zip(targets, maps.teacher, strict=True):
            target.copy_(theirs)

    return run


@torch.no_grad()
def check_equal(name: str, values: dict[str, Value], tolerance: float) -> None:
    """Forms of one loss give one value.

    Raises:
        BenchmarkError: If they do not.
    """
    found = {key: value().item() for key, value in values.items()}
    ours = found['ours']
    for key, value in found.items():
        if not abs(value - ours) <= tolerance * abs(ours) + 1e-7:
            raise BenchmarkError(
                f'{name}: {key} is {value:.6g} and ours {ours:.6g}, which '
                f'differ by more than {tolerance:g}: not the same loss, '
                'nothing is compared.'
            )


def bandwidth_claims(target: float | None) -> list[Claim]:
    """Shares of a copy's bandwidth, forward alone and with a gradient."""
    cases = {
        'forward': 'ours, forward',
        'forward and backward': 'ours',
    }
    return [
        Claim(
            f'share of copy bandwidth, {what}',
            'bandwidth',
            [name],
            'copy',
            target=target,
            at_least=True,
        )
        for what, name in cases.items()
    ]
