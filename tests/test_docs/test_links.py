"""Links between the pages, the README and the configs' READMEs lead there."""

import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import unquote

import pytest

from ..helpers.rules import for_each
from .blocks import ROOT, tokens_of

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ('*.md', 'docs/*.md', 'configs/*/README.md')
    for path in ROOT.glob(pattern)
)


def links_of(page: str) -> Iterator[str]:
    """Targets of a page's links and images."""
    for token in tokens_of(page):
        for child in token.children or ():
            target = child.attrs.get('href') or child.attrs.get('src')
            if target:
                yield unquote(target)


def anchors_of(page: str) -> set[str]:
    """What GitHub and myst make of the headings."""
    tokens = tokens_of(page)
    return {
        re.sub(r'[^\w\- ]', '', heading.content.lower()).replace(' ', '-')
        for mark, heading in pairwise(tokens)
        if mark.type == 'heading_open'
    }


def broken(page: str, target: str) -> bool:
    """Whether a relative link leads nowhere."""
    if re.match(r'[a-z]+:', target):
        return False
    path, _, anchor = target.partition('#')
    file = (ROOT / page).parent / path if path else ROOT / page
    # Sphinx knows files, GitHub folders too.
    if not file.is_file():
        return True
    there = file.resolve().relative_to(ROOT).as_posix()
    return bool(anchor) and anchor not in anchors_of(there)


@for_each(PAGES)
def test_links_lead_somewhere(page):
    assert [link for link in links_of(page) if broken(page, link)] == []


@pytest.mark.parametrize(
    'target', ['none.md', 'losses.md#nothing', '../configs/cwd', '#nowhere']
)
def test_a_broken_link_is_seen(target):
    assert broken('docs/concepts.md', target)


def test_links_are_found():
    assert len(PAGES) > 10
    assert sum(1 for page in PAGES for _ in links_of(page)) > 40
