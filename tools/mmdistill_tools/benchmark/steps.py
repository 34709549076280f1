"""Modes ``step`` and ``memory``: whole training steps."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from . import contenders, peer
from .agreement import check_agreement
from .arguments import Settings
from .clock import device_clock, interleave
from .contenders import Contender, distilled_name
from .measurements import Row, Section
from .meter import measure, synchronizations
from .models import prepare

Makers = dict[str, Callable[[], Contender]]
Echo = Callable[[str], None]

WEIGHTS_NOTE = (
    'Random weights: the teacher and the student start with the same ones in '
    'every contender; learning rate 0, so that each round repeats the work.'
)
AGREEMENT_NOTE = (
    'The losses of the first step agree in fp32, that of distillation too; '
    "for that comparison alone a peer's teacher has its dropout off."
)


def run_step(settings: Settings, echo: Echo) -> Iterator[Section]:
    """Time training steps, one section per model."""
    for name in settings.models:
        with TemporaryDirectory() as folder:
            echo(f'{name}: building')
            section, makers = _empty_section(
                name, settings, Path(folder), 'step'
            )
            found = {key: make() for key, make in makers.items()}
            losses = check_agreement([*found.values()])
            echo(f'{name}: {settings.num_rounds} rounds of {", ".join(found)}')
            times = interleave(
                {key: one.step for key, one in found.items()},
                settings.num_rounds,
                device_clock(settings.device),
                warmup=2,
            )
        section.rows = [
            Row(key, times[key], about=dict(first_losses=losses[key]))
            for key in found
        ]
        section.notes.append(AGREEMENT_NOTE)
        if settings.device == 'cuda':
            for row in section.rows:
                step = found[row.name].step
                row.about['synchronizations'] = synchronizations(step)
        yield section


def run_memory(settings: Settings, echo: Echo) -> Iterator[Section]:
    """Measure memory of training steps, each contender alone."""
    for name in settings.models:
        with TemporaryDirectory() as folder:
            echo(f'{name}: building')
            section, makers = _empty_section(
                name, settings, Path(folder), 'memory'
            )
            if settings.device == 'cuda':
                # Libraries take their workspace from torch with the first
                # step of a process; it belongs to no contender.
                makers['student']().step()
            for key, make in makers.items():
                echo(f'{name}: {key}')
                counted = _bytes_of(make, settings.device)
                section.rows.append(Row(key, bytes=counted))
        section.notes.append(
            'weights: what building leaves (parameters and buffers of student '
            'and teacher). peak: the most that a step has above that, with '
            'gradients and momentum, which are the same for all.'
        )
        yield section


def _empty_section(
    name: str, settings: Settings, folder: Path, mode: str
) -> tuple[Section, Makers]:
    """An empty section, and a builder for each contender."""
    setup = prepare(name, settings, folder)
    makers: Makers = {
        'student': partial(contenders.student, setup),
        'floor': partial(contenders.floor, setup),
    }
    for switches in ({}, *settings.switches):
        key = distilled_name(switches)
        makers[key] = partial(contenders.distilled, setup, switches)
    if settings.peer:
        for key in peer.names(setup):
            makers[key] = partial(peer.contender, key, setup)
    count, (height, width) = settings.images(setup.pair)
    sizes = dict(
        config=f'configs/{setup.config}',
        batch=count,
        height=height,
        width=width,
        instances=_instances(setup.data),
    )
    section = Section(f'{mode}/{name}', name, sizes, notes=[WEIGHTS_NOTE])
    return section, makers


def _instances(data: dict) -> list[int] | None:
    """Number of ground truth instances per image; None for a segmentor."""
    samples = data['data_samples']
    if 'gt_instances' not in samples[0]:
        return None
    return [len(sample.gt_instances) for sample in samples]


def _bytes_of(make: Callable[[], Contender], device: str) -> dict[str, int]:
    """Bytes of a contender; no other contender may be alive."""
    built: list[Contender] = []
    weights = measure(lambda: built.append(make()), device).net
    (one,) = built

    def first() -> None:
        one.step()
        one.optimizer.zero_grad()

    remaining = measure(first, device).net
    step = measure(one.step, device)
    return dict(
        weights=weights, peak=remaining + step.peak, net=remaining + step.net
    )
