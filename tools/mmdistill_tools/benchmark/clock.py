"""Wall times of several contenders, taken in turns."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil

import torch

#: Most calls that one time is taken over.
MAX_CALLS = 1000


def device_clock(device: str) -> Callable[[], float]:
    """A clock in seconds that waits for what a device still has to do."""
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

    In round r every one runs once, beginning with number r (mod their
    count), so that what the machine does meanwhile meets all alike.

    Args:
        contenders: Functions by name.
        rounds: Times that are taken of each.
        clock: Gives seconds; see :func:`device_clock`.
        warmup: Rounds before, whose times are dropped; at least 1.
        min_seconds: Seconds that a time is taken over, by calling as often as
            the warm-up says that it needs; the time is that of one call.

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
                gc.collect()  # here, not while the clock runs
                taken = _seconds_per_call(contenders[name], calls[name], clock)
                times[name].append(taken)
    return times


@contextmanager
def frozen_garbage() -> Iterator[None]:
    """Let Python's collector look at what is made from now on only."""
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
    """Seconds of one call."""
    start = clock()
    for _ in range(calls):
        run()
    return (clock() - start) / calls
