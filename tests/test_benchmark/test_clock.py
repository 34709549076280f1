"""Turns, warm-up and medians, with a clock that a contender moves."""

import gc

import pytest

from mmdistill_tools.benchmark.clock import device_clock, interleave


class Fake:
    """A clock, and contenders that take given seconds of it."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def __call__(self):
        return self.now

    def contender(self, name, *seconds):
        left = list(seconds)

        def run():
            self.order.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock():
    return Fake()


def test_contenders_take_turns(clock):
    runs = {name: clock.contender(name, 1.0) for name in 'abc'}
    times = interleave(runs, 4, clock)
    assert times == {name: [1.0] * 4 for name in 'abc'}
    assert ''.join(clock.order) == 'abc' + 'abc' + 'bca' + 'cab' + 'abc'


def test_warm_up_is_dropped(clock):
    runs = dict(a=clock.contender('a', 50.0, 40.0, 1.0, 2.0, 3.0))
    assert interleave(runs, 3, clock, warmup=2) == dict(a=[1.0, 2.0, 3.0])


def test_a_short_time_is_taken_over_many_calls(clock):
    runs = dict(
        short=clock.contender('s', 0.01), long=clock.contender('l', 1.0)
    )
    times = interleave(runs, 2, clock, min_seconds=0.1)
    assert times['short'] == pytest.approx([0.01, 0.01])
    assert clock.order.count('s') == 1 + 2 * 10
    assert clock.order.count('l') == 1 + 2


def test_what_takes_no_time_ends(clock):
    runs = dict(a=clock.contender('a', 0.0))
    assert interleave(runs, 1, clock, min_seconds=0.1) == dict(a=[0.0])


def test_the_collector_is_as_before(clock):
    def fails():
        raise KeyError('a')

    with pytest.raises(KeyError, match='a'):
        interleave(dict(a=fails), 1, clock)
    interleave(dict(a=clock.contender('a', 1.0)), 1, clock)
    assert gc.get_freeze_count() == 0


def test_the_clock_of_a_cpu_goes_on():
    now = device_clock('cpu')
    assert 0 <= now() - now() + 1 <= 1
