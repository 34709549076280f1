"""Checks that the whole library shares."""

import re

import pytest

from mmdistill_dense.functional.checks import check_int


@pytest.mark.parametrize('value', [-1, 0, True, 2.0, '3', None, [4]])
def test_what_is_not_an_integer_above_the_limit_is_refused(value):
    expected = f'Loss: chunk must be an integer >= 1, got {value!r}.'
    with pytest.raises(ValueError, match=f'^{re.escape(expected)}$'):
        check_int('Loss: chunk', value, 1)


def test_the_limit_itself_is_allowed():
    check_int('Loss: chunk', 1, 1)
