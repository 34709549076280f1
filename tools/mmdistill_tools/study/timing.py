"""Estimate the remaining time of a study."""

from collections.abc import Sequence
from statistics import mean

from .definition import Row
from .results import Result


def seconds_left(
    waiting: Sequence[tuple[Row, int]],
    results: Sequence[Result],
    at_once: int,
) -> float | None:
    """Estimated seconds of the remaining runs, from earlier results.

    A row without a result counts with the mean of all rows.

    Args:
        waiting: Row and length of each remaining run.
        results: Results of earlier runs.
        at_once: Number of runs side by side, in both.

    Returns:
        Seconds, or None without an earlier result.
    """
    if not waiting:
        return 0.0
    speeds: dict[str, list[float]] = {}
    for result in results:
        if result.train_seconds:  # 0 if not trained by this tool
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
    """A duration as text, such as ``about 1 h 20 min``."""
    if seconds is None:
        return 'unknown time until the first run has ended'
    minutes = round(seconds / 60)
    if minutes < 1:
        return 'about a minute' if seconds else 'nothing to do'
    hours, minutes = divmod(minutes, 60)
    return (
        f'about {hours} h {minutes} min' if hours else f'about {minutes} min'
    )
