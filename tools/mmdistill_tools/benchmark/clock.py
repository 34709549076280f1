"""Interleaved wall times of several contenders."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil

import torch

#: Maximum number of calls that are timed together.
MAX_CALLS = 1000


def device_clock(device: str) -> Callable[[], float]:
    """A clock in seconds that synchronizes the device."""
    if not device.startswith('cuda'):
        return time.perf_counter

    def now() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float],
    warmup: int = 1,
    min_seconds: float = 0.0,
) -> dict[str, list[float]]:
    """Time contenders side by side.

    In round r each one runs once, starting with number r (mod their count),
    so that other load on the machine affects all of them alike.

    Args:
        contenders: Functions by name.
        rounds: Number of times to take of each.
        clock: Returns seconds; see :func:`device_clock`.
        warmup: Number of discarded rounds; at least 1.
        min_seconds: Minimum seconds of a measurement; the number of calls is
            chosen from the warm-up, and the time is that of one call.

    Returns:
        Seconds of each round by name.
    """
    for _ in range(warmup):
        once = {
            name: _seconds_per_call(run, 1, clock)
            for name, run in contenders.items()
        }
    calls = {
        name: _num_calls(taken, min_seconds) for name, taken in once.items()
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    with frozen_garbage():
        for index in range(rounds):
            first = index % len(names)
            for name in names[first:] + names[:first]:
                gc.collect()  # outside the timed section
                taken = _seconds_per_call(contenders[name], calls[name], clock)
                times[name].append(taken)
    return times


@contextmanager
def frozen_garbage() -> Iterator[None]:
    """Exclude existing objects from Python's garbage collector."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _num_calls(once: float, min_seconds: float) -> int:
    return min(max(1, ceil(min_seconds / max(once, 1e-9))), MAX_CALLS)


def _seconds_per_call(
    run: Callable[[], object], calls: int, clock: Callable[[], float]
) -> float:
    """Mean seconds per call."""
    start = clock()
    for _ in range(calls):
        run()
    return (clock() - start) / calls
