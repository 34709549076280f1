"""How long the rest of a study takes."""

from collections.abc import Sequence
from statistics import mean

from .definition import Row
from .results import Result


def seconds_left(
    waiting: Sequence[tuple[Row, int]],
    results: Sequence[Result],
    at_once: int,
) -> float | None:
    """Seconds that some runs will take, by what earlier ones took.

    A row without a result counts as the mean of all of them.

    Args:
        waiting: Row and length of each run.
        results: Of earlier runs.
        at_once: Runs side by side, in both.

    Returns:
        Seconds, or None if nothing is known.
    """
    if not waiting:
        return 0.0
    speeds: dict[str, list[float]] = {}
    for result in results:
        if result.train_seconds:  # 0: not by this tool
            speed = result.train_seconds / result.length
            speeds.setdefault(result.row, []).append(speed)
    if not speeds:
        return None
    usual = mean(speed for found in speeds.values() for speed in found)
    total = sum(
        length * mean(speeds.get(row.name, [usual])) for row, length in waiting
    )
    return total / at_once


def format_duration(seconds: float | None) -> str:
    """Such as ``about 1 h 20 min``."""
    if seconds is None:
        return 'for a time that the first run will tell'
    minutes = round(seconds / 60)
    if minutes < 1:
        return 'about a minute' if seconds else 'nothing to do'
    hours, minutes = divmod(minutes, 60)
    return (
        f'about {hours} h {minutes} min' if hours else f'about {minutes} min'
    )
