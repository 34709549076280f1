"""A rule for many files fails once, and names all that break it."""

import pytest

from .helpers.rules import ROOT, for_each


def test_every_file_that_breaks_a_rule_is_named():
    @for_each([ROOT / 'docs' / 'a.md', 'good', 'b'])
    def rule(item, suffix):
        assert item == f'go{suffix}'
        raise OSError('cannot be read')

    said = r'^docs/a\.md: Assert.*\ngood: OSError: cannot be read\nb: Assert'
    with pytest.raises(pytest.fail.Exception, match=f'(?s){said}'):
        rule(suffix='od')


def test_a_rule_for_nothing_fails():
    @for_each([])
    def rule(item):
        pass

    with pytest.raises(AssertionError, match='nothing to check'):
        rule()
