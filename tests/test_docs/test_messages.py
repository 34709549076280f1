"""Messages on the page of troubles are those of the code, word for word."""

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..helpers.rules import for_each
from ..helpers.stack import ONEDL
from .blocks import MESSAGES, ROOT, blocks_of

#: Files of others whose messages are quoted.
OTHERS = (
    'mmdet',
    'mmengine.config.utils',
    'mmengine.registry.build_functions',
    'torch.nn.functional',
)
QUOTED = [block for block in blocks_of(MESSAGES) if block.kind == 'message']


def literal(node: ast.expr) -> str:
    """Text of a string, with … for what is put into it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return ''.join(map(literal, node.values))
    return '…'


def squeezed(text: str) -> str:
    return re.sub(r'…+', '…', re.sub(r'\s+', ' ', text)).strip()


def files() -> list[Path]:
    own = [
        *ROOT.glob('mmdistill_dense/**/*.py'),
        *ROOT.glob('tools/**/*.py'),
    ]
    return own + [Path(find_spec(name).origin) for name in OTHERS]


@cache
def literals() -> list[str]:
    """Every string in these files."""
    return [
        squeezed(literal(node))
        for path in files()
        for node in ast.walk(ast.parse(path.read_text('utf-8')))
        if isinstance(node, (ast.Constant, ast.JoinedStr))
    ]


@pytest.mark.skipif(ONEDL, reason="the hosts' messages are the stock ones")
@for_each(QUOTED)
def test_a_quoted_message_exists(block):
    message = squeezed(block.text)
    assert [text for text in literals() if message in text], message


def test_messages_are_found():
    assert len(QUOTED) > 30
