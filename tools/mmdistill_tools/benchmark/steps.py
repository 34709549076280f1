"""Modes ``step`` and ``memory``: whole training steps, side by side."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from . import contenders, peer
from .agreement import check_agreement
from .batches import draw_batch
from .clock import device_clock, interleave
from .contenders import Contender, ours_name
from .measurements import Claim, Row, Section
from .meter import measure, synchronizations
from .models import PAIRS, prepare
from .settings import Settings

Makers = dict[str, Callable[[], Contender]]
Say = Callable[[str], None]

WEIGHTS = (
    'Random weights: the teacher and the student start with the same ones in '
    'every contender; learning rate 0, so that each round repeats the work.'
)
AGREED = (
    'The losses of the first step agree in fp32, that of distillation too; '
    "for that comparison alone a peer's teacher has its dropout off."
)


def run_step(settings: Settings, say: Say) -> Iterator[Section]:
    """Time training steps, a section for each model."""
    for name in settings.models:
        with TemporaryDirectory() as folder:
            say(f'{name}: building')
            section, makers = _begin(name, settings, Path(folder), 'step')
            found = {key: make() for key, make in makers.items()}
            losses = check_agreement([*found.values()])
            say(f'{name}: {settings.turns} rounds of {", ".join(found)}')
            times = interleave(
                {key: one.step for key, one in found.items()},
                settings.turns,
                device_clock(settings.device),
                warmup=2,
            )
        section.rows = [
            Row(key, times[key], about=dict(first_losses=losses[key]))
            for key in found
        ]
        section.claims = step_claims(makers)
        section.notes.append(AGREED)
        if settings.device == 'cuda':
            _count_synchronizations(section, found)
        yield section


def _count_synchronizations(
    section: Section, found: dict[str, Contender]
) -> None:
    """Add to each row how often a step waits for the GPU."""
    for row in section.rows:
        row.about['synchronizations'] = synchronizations(found[row.name].step)
    counts = ', '.join(
        f'{row.name} {row.about["synchronizations"]}' for row in section.rows
    )
    section.notes.append(f'Times that a step waits for the GPU: {counts}.')


def run_memory(settings: Settings, say: Say) -> Iterator[Section]:
    """Weigh training steps, each contender alone."""
    for name in settings.models:
        with TemporaryDirectory() as folder:
            say(f'{name}: building')
            section, makers = _begin(name, settings, Path(folder), 'memory')
            for key, make in makers.items():
                say(f'{name}: {key}')
                counted = _weigh(make, settings.device)
                section.rows.append(Row(key, bytes=counted))
        section.claims = memory_claims(makers)
        section.notes.append(
            'weights: what building leaves (parameters and buffers of student '
            'and teacher). peak: the most that a step has above that, with '
            'gradients and momentum, which are the same for all.'
        )
        yield section


def _begin(
    name: str, settings: Settings, folder: Path, mode: str
) -> tuple[Section, Makers]:
    """An empty section, and what builds each contender."""
    count, size = settings.images(PAIRS[name])
    setup = prepare(name, size, folder, settings.seed, settings.quick)
    student = setup.stock_student().to(settings.device)
    batch = draw_batch(setup.scope, count, size, settings.seed)
    data = student.data_preprocessor(batch, True)
    common = (setup, data, settings.precision, settings.seed)
    makers: Makers = {
        'student': partial(contenders.student, *common),
        'floor': partial(contenders.floor, *common),
        'ours': partial(contenders.ours, *common),
    }
    for switches in settings.switches:
        key = ours_name(switches)
        makers[key] = partial(contenders.ours, *common, switches)
    if settings.peer:
        for key in peer.names(setup.pair):
            makers[key] = partial(peer.contender, key, *common)
    sizes = dict(
        config=f'configs/{setup.pair.config}',
        batch=count,
        height=size[0],
        width=size[1],
        instances=_instances(data),
    )
    section = Section(f'{mode}/{name}', name, sizes, notes=[WEIGHTS])
    return section, makers


def _instances(data: dict) -> list[int] | None:
    """Labelled objects of each image of a detector's batch."""
    samples = data['data_samples']
    if 'gt_instances' not in samples[0]:
        return None
    return [len(sample.gt_instances) for sample in samples]


def _weigh(make: Callable[[], Contender], device: str) -> dict[str, int]:
    """Bytes of a contender, which is alone alive."""
    held: list[Contender] = []
    weights = measure(lambda: held.append(make()), device).net
    (one,) = held

    def first() -> None:
        one.step()
        one.optimizer.zero_grad()

    kept = measure(first, device).net
    step = measure(one.step, device)
    return dict(weights=weights, peak=kept + step.peak, net=kept + step.net)


def step_claims(names: Makers | list[str]) -> list[Claim]:
    """What times are compared, and with which targets."""
    claims = [Claim('ours / floor', 'time', ['ours'], 'floor', target=1.03)]
    peers = {peer.SINGLE: (0.85, None), peer.FPN: (0.97, 0.90)}
    switched = [name for name in names if name.startswith('ours,')]
    for other, (target, best) in peers.items():
        if other not in names:
            continue
        claims.append(
            Claim(f'ours / {other}', 'time', ['ours'], other, target=target)
        )
        claims += [
            Claim(f'{name} / {other}', 'time', [name], other)
            for name in switched
        ]
        if switched:
            what = f'ours with the best switches / {other}'
            of = ['ours', *switched]
            claims.append(Claim(what, 'best time', of, other, target=best))
    return claims


def memory_claims(names: Makers | list[str]) -> list[Claim]:
    """What peaks are compared, all above the stock student's."""
    claims = []
    mine = [name for name in names if name.startswith('ours')]
    for other in (peer.SINGLE, peer.FPN):
        if other not in names:
            continue
        for name in mine:
            what = f'{name} / {other}, above the student'
            target = 0.5 if name == 'ours' else None
            claims.append(
                Claim(what, 'peak above', [name], other, 'student', target)
            )
            claims.append(
                Claim(
                    f'{what}, with weights',
                    'peak and weights above',
                    [name],
                    other,
                    'student',
                )
            )
    return claims
