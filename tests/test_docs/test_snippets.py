"""Every command and snippet of the README and of ``docs/`` is run.

The blocks of a page are run in order, in one folder; ``stand_ins.py`` lists
all that is done otherwise than a reader would.
"""

import re
from fnmatch import fnmatchcase

import pytest

from ..helpers.rules import for_each
from . import stand_ins
from .blocks import PAGES, blocks_of, tokens_of
from .sandbox import Sandbox

#: Kinds of blocks that other tests look at.
ELSEWHERE = ('directive', 'message', 'recorded')


@pytest.mark.slow
@pytest.mark.parametrize('page', PAGES)
def test_every_block_does_what_the_page_says(page, tmp_path):
    sandbox = Sandbox(tmp_path, page)
    for block in blocks_of(page):
        if block.kind in ELSEWHERE or stand_ins.is_listed(block):
            continue
        sandbox.run(block)


@for_each(PAGES)
def test_every_block_can_be_checked(page):
    listed, others = [], []
    for block in blocks_of(page):
        (listed if stand_ins.is_listed(block) else others).append(block)
    assert [str(b) for b in others if b.kind is None] == []
    # A config begins with a comment that names its file.
    configs = [b for b in others if b.kind == 'code' and '_base_ =' in b.text]
    assert [str(block) for block in configs] == []
    # An indented block would not be seen by these tests.
    indented = [t.map for t in tokens_of(page) if t.type == 'code_block']
    assert indented == []


def commands_of(page):
    blocks = [b for b in blocks_of(page) if b.kind == 'command']
    return '\n'.join(block.text for block in blocks)


@for_each(stand_ins.COMMANDS)
def test_every_stand_in_is_needed(name):
    commands = '\n'.join(map(commands_of, PAGES))
    called_by_tools = {'srun', 'sbatch', 'squeue'}
    typed = re.search(rf'^{name} ', commands, re.MULTILINE)
    assert typed or name in called_by_tools


def test_the_tables_hold_nothing_that_has_gone():
    for page, configs in stand_ins.LONG_RUNS.items():
        words = commands_of(page).split()
        for glob in configs:
            assert any(fnmatchcase(word, glob) for word in words), glob
    for page, texts in stand_ins.CHANGED.items():
        for text in texts:
            assert text in commands_of(page)
    for page, first in stand_ins.NOT_CHECKED:
        blocks = [b for b in blocks_of(page) if stand_ins.is_listed(b)]
        assert [b for b in blocks if b.text.strip().startswith(first)], first
    for page in stand_ins.PREPARED:
        assert page in PAGES
