"""Formulas, each by hand."""

import pytest

from mmdistill_tools.benchmark import BenchmarkError
from mmdistill_tools.benchmark.claims import (
    holds,
    quartiles,
    spread_of,
    value_of,
)
from mmdistill_tools.benchmark.measurements import Claim

from . import samples


def values(section):
    return {
        claim.what: (value_of(section, claim), holds(section, claim))
        for claim in section.claims
    }


def test_ratios_of_step_times():
    found = values(samples.step_section())
    single, fpn = samples.SINGLE, samples.FPN
    expected = {
        'ours / floor': (2.1 / 2.0, False),
        f'ours / {single}': (2.1 / 3.0, True),
        f'ours, fold_bn=True / {single}': (1.8 / 3.0, None),
        f'ours with the best switches / {single}': (1.8 / 3.0, None),
        f'ours / {fpn}': (2.1 / 2.2, True),
        f'ours, fold_bn=True / {fpn}': (1.8 / 2.2, None),
        f'ours with the best switches / {fpn}': (1.8 / 2.2, True),
    }
    assert found.keys() == expected.keys()
    for what, (value, met) in expected.items():
        assert found[what][0] == pytest.approx(value), what
        assert found[what][1] is met, what


def test_without_a_peer_only_the_floor_is_compared():
    from mmdistill_tools.benchmark.steps import step_claims

    (claim,) = step_claims(['student', 'floor', 'ours'])
    assert claim.what == 'ours / floor'


def test_a_spread_is_taken_round_by_round():
    section = samples.step_section()
    first, third = spread_of(section, section.claims[0])
    assert (first, third) == pytest.approx((1.025, 1.075))
    assert spread_of(section, section.claims[3]) is None  # the best of some


def test_memory_above_the_student():
    found = values(samples.memory_section())
    what = f'ours / {samples.SINGLE}, above the student'
    assert found[what] == (20 / 80, True)
    # The teacher's 20 MiB on both sides.
    assert found[f'{what}, with weights'] == (40 / 100, None)


def test_a_peer_that_needs_nothing_more_gives_no_ratio():
    section = samples.memory_section()
    section.row(samples.SINGLE).bytes['peak'] = 0
    assert value_of(section, section.claims[0]) is None
    assert holds(section, section.claims[0]) is None


def test_shares_of_a_loss():
    found = values(samples.loss_section())
    assert found['time'][0] == pytest.approx(0.1 / 0.45)
    assert found['time'][1] is False
    assert found['extra'] == (0.04, True)
    assert found['saved'] == (1.05, True)
    assert found['MiB'] == (600.0, False)
    # 3 maps in 0.1 s over 2 in 0.05 s; more would be better.
    assert found['share'] == (pytest.approx(0.75), False)


def test_time_per_element():
    found = values(samples.scaling_section())
    # 2, 1 and 1.2 microseconds.
    assert found['linear'] == (pytest.approx(2 / 1.2), None)
    assert found['odd'] == (pytest.approx(1.2), True)


def test_quartiles_of_one_value_are_it():
    assert quartiles([3.0]) == (3.0, 3.0)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 4.0)


def test_a_row_that_is_not_there_is_named():
    section = samples.step_section()
    claim = Claim('x', 'time', ['ours'], 'theirs')
    with pytest.raises(BenchmarkError, match=r"no row 'theirs', only: stud"):
        value_of(section, claim)
