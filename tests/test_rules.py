"""Rules for many files: one fails once, and names all that break it."""

import re
from pathlib import Path

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


#: Words of a private language; a reader stumbles over each.
PRIVATE = {
    *('crew', 'lent', 'lend', 'lends', 'lending', 'mend', 'mends', 'ours'),
    *('theirs', 'told', 'asked', 'said', 'resting', 'rehearse'),
}
SOURCES = [
    path
    for folder in ('mmdistill_dense', 'tools', 'tests')
    for path in sorted((ROOT / folder).rglob('*.py'))
    if '.mim' not in path.parts and path != Path(__file__)
]
PAGES = [
    path
    for pattern in ('*.md', 'docs/**/*.md', 'configs/**/*.md')
    for path in sorted(ROOT.glob(pattern))
    if '_build' not in path.parts
]


def words(text):
    """Of sentences and of identifiers, which are split at capitals."""
    return {w.lower() for w in re.findall(r'[A-Z]?[a-z]+|[A-Z]+', text)}


def test_identifiers_are_split():
    assert words('TellCrew.was_told, HTTPServer') >= {'crew', 'was', 'told'}


@for_each(SOURCES + PAGES)
def test_no_private_word_is_used(path):
    assert not words(path.read_text('utf-8')) & PRIVATE
