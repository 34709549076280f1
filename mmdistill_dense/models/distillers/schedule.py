"""Schedules of the factor of a term."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from mmengine.logging import MessageHub, print_log

from mmdistill_dense.functional.checks import check_int

from .guards import prefix_errors


@dataclass(frozen=True)
class Schedule:
    """A term's factor over time, in iterations or in epochs.

    It is 0 before ``begin`` and from ``end`` on. It rises linearly over the
    first ``warmup`` units (1/warmup in the first one) and falls over the
    last ``decay`` units (1/decay in the last one).

    Args:
        begin: First unit in which the term is active.
        end: First unit in which it is not active any more; ``None``: never.
        warmup: Length of the rise.
        decay: Length of the fall; needs ``end``.
        by_epoch: Whether units are epochs; else iterations of the Runner.

    Raises:
        ValueError: If the numbers describe no schedule.
    """

    begin: int = 0
    end: int | None = None
    warmup: int = 0
    decay: int = 0
    by_epoch: bool = False

    def __post_init__(self) -> None:
        for name in ('begin', 'warmup', 'decay'):
            check_int(f'schedule: {name}', getattr(self, name), 0)
        if self.decay and self.end is None:
            raise ValueError('schedule: decay needs an end.')
        if self.end is None:
            return
        check_int('schedule: end', self.end, 0)
        needed = self.begin + max(1, self.warmup + self.decay)
        if self.end < needed:
            raise ValueError(
                f'schedule: end={self.end} leaves no room for begin, warmup '
                f'and decay, expected an end >= {needed}.'
            )

    @property
    def constant(self) -> bool:
        """Whether the factor is always 1."""
        return self.end is None and not (self.begin or self.warmup)

    def factor(self, now: int) -> float:
        """Factor in unit ``now``, counted from 0; between 0 and 1."""
        if now < self.begin or (self.end is not None and now >= self.end):
            return 0.0
        factor = 1.0
        if self.warmup:
            factor = min(factor, (now - self.begin + 1) / self.warmup)
        if self.decay and self.end is not None:
            factor = min(factor, (self.end - now) / self.decay)
        return factor


class Clock:
    """Iteration and epoch of the current run.

    They are read from the message hub, where MMEngine's ``RuntimeInfoHook``
    writes those of the Runner. So a resumed run continues its schedules, and
    one that starts from a checkpoint with ``load_from`` starts at 0.
    """

    def __init__(self) -> None:
        self._set: dict[str, int] = {}

    def set(self, iteration: int, epoch: int = 0) -> None:
        """Set both in a training loop without a Runner."""
        self._set = dict(iter=iteration, epoch=epoch)

    def now(self, by_epoch: bool) -> int:
        """Current iteration or epoch, counted from 0.

        Raises:
            RuntimeError: If it is not known.
        """
        unit = 'epoch' if by_epoch else 'iter'
        if unit in self._set:
            return self._set[unit]
        now = _runtime_info(unit)
        if now is None:
            raise RuntimeError(
                'a term has a schedule, a share or random masks, but the '
                f'{unit} is not known. In a '
                "Runner mmengine's RuntimeInfoHook sets it (default_hooks."
                'runtime_info must not be None); in a loop of your own call '
                'model.distill.clock.set(iteration=..., epoch=...) before '
                'each step.'
            )
        return int(now)

    def length(self, by_epoch: bool) -> int | None:
        """Length of the run in these units; ``None`` if not known."""
        if self._set:
            return None
        return _runtime_info('max_epochs' if by_epoch else 'max_iters')


def _runtime_info(name: str) -> int | None:
    """Value that RuntimeInfoHook has written into the message hub."""
    return MessageHub.get_current_instance().get_info(name)


def seed_of_run() -> int:
    """Seed of the run, of the first one if it is resumed; else 0."""
    return int(_runtime_info('seed') or 0)


def check_lengths(schedules: Mapping[str, Schedule], clock: Clock) -> None:
    """Compare each term's schedule with the length of the run.

    Raises:
        ValueError: If one is in epochs, but the run has no epochs.
    """
    for name, schedule in schedules.items():
        with prefix_errors(name):
            check_length(schedule, clock.length(schedule.by_epoch))


def check_length(schedule: Schedule, length: int | None) -> None:
    """Compare a schedule with the length of the run.

    Raises:
        ValueError: If it is in epochs, but the run has no epochs.
    """
    if schedule.constant or length is None:
        return
    if schedule.by_epoch and length <= 1:
        raise ValueError(
            'schedule: by_epoch=True in a run of one epoch; an '
            'IterBasedTrainLoop counts none. Write begin, end, warmup and '
            'decay in iterations, with by_epoch=False.'
        )
    if schedule.begin >= length:
        unit = 'epochs' if schedule.by_epoch else 'iterations'
        print_log(
            f'A term begins at {schedule.begin}, but this run ends after '
            f'{length} {unit}: it will not be trained with.',
            logger='current',
            level=logging.WARNING,
        )
