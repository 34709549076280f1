"""Means, deviations and paired differences, by hand."""

import pytest

from mmdistill_tools.study.statistics import (
    Estimate,
    estimate,
    paired_difference,
)


def test_mean_deviation_and_error():
    found = estimate([1.0, 2.0, 6.0])  # squares 4, 1, 9 over n - 1 = 2
    assert found.count == 3
    assert found.mean == pytest.approx(3)
    assert found.deviation == pytest.approx(7**0.5)
    assert found.error == pytest.approx((7 / 3) ** 0.5)


def test_one_value_has_no_deviation_and_none_no_mean():
    assert estimate([4.0]) == Estimate(1, 4.0, None)
    assert estimate([4.0]).error is None
    assert estimate([]) is None


def test_differences_are_paired_by_seed():
    # Far apart, but each seed gains 2 or 4: the pairs leave little error.
    gain = paired_difference({0: 12.0, 1: 54.0}, {1: 50.0, 0: 10.0})
    assert gain.mean == pytest.approx(3)
    assert gain.error == pytest.approx(1)


def test_a_seed_more_is_not_counted():
    assert paired_difference({0: 5.0, 7: 99.0}, {0: 4.0}) == Estimate(
        1, 1.0, None
    )


@pytest.mark.parametrize('baseline', [{}, {0: 1.0, 1: 1.0}])
def test_a_row_that_lacks_seeds_is_not_compared(baseline):
    assert paired_difference({0: 5.0}, baseline) is None
