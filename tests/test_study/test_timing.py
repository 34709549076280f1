"""How long the rest takes, by what earlier runs took."""

import pytest

from mmdistill_tools.study.timing import format_duration, seconds_left

from .conftest import result_of


@pytest.fixture
def entries(plan, content):
    return plan(dict(content, seeds=[0, 1]))


def left(entries, *took, at_once=1):
    """Seconds for two runs of the student and one of the teacher."""
    waiting = [
        (entries[key].row, length)
        for key, length in [
            (('student', 0), 4),
            (('student', 1), 4),
            (('teacher', 0), 8),
        ]
    ]
    results = [
        result_of(entries[row, 0], train_seconds=seconds)
        for row, seconds in took
    ]
    return seconds_left(waiting, results, at_once)


def test_a_row_takes_what_it_took(entries):
    assert left(entries, ('student', 40.0), ('teacher', 80.0)) == 240
    took = ('student', 30.0), ('student', 50.0), ('teacher', 80.0)
    assert left(entries, *took, at_once=2) == 120


def test_a_new_row_counts_as_the_mean_of_the_others(entries):
    took = ('student', 40.0), ('distilled', 80.0)
    assert left(entries, *took) == 80 + 8 * 15


@pytest.mark.parametrize('took', [(), (('student', 0.0),)])
def test_without_times_nothing_is_known(entries, took):
    assert left(entries, *took) is None


def test_nothing_left_takes_no_time():
    assert seconds_left([], [], 1) == 0


@pytest.mark.parametrize(
    ('seconds', 'words'),
    [
        (None, 'unknown time until the first run has ended'),
        (0.0, 'nothing to do'),
        (20.0, 'about a minute'),
        (150.0, 'about 2 min'),
        (4800.0, 'about 1 h 20 min'),
    ],
)
def test_seconds_as_text(seconds, words):
    assert format_duration(seconds) == words
