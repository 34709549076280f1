"""The fenced blocks of a page, and what each of them is."""

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [
    'README.md',
    *sorted(f'docs/{p.name}' for p in ROOT.glob('docs/*.md')),
]
#: The page whose text blocks quote messages of the code.
MESSAGES = 'docs/troubleshooting.md'
_FILE = re.compile(r'# (\S+\.py)\n')
#: Colours of a terminal, and what MMEngine puts before a line of its log.
_NOISE = re.compile(
    r'\x1b\[[0-9;]*m|^\d\d/\d\d [0-9:]{8} - mmengine - [A-Z]+ - ', re.MULTILINE
)
#: Language of a fence -> what is done with it.
KINDS = dict(
    bash='command',
    python='code',
    text='output',  # as it is printed
    output='rough output',  # as it is printed, but for the numbers
    shell='recorded',  # what took hours once; results are compared with it
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        page: Its page, relative to the repository.
        line: Line of its opening fence, counted from 1.
        language: First word behind the fence.
        text: What is between the fences.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f'{self.page}:{self.line} [{self.language}]'

    @property
    def file(self) -> str | None:
        """Path in the first line, for what the reader is to write down."""
        match = _FILE.match(self.text)
        return match[1] if match and self.language == 'python' else None

    @property
    def kind(self) -> str | None:
        """``None`` where there is no way to check such a block."""
        if self.language.startswith('{'):
            return 'directive'
        if self.page == MESSAGES and self.language == 'text':
            return 'message'
        return 'config' if self.file else KINDS.get(self.language)


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks of a page, in order, those in lists too."""
    return [
        Block(page, token.map[0] + 1, *_language(token.info), token.content)
        for token in tokens_of(page)
        if token.type == 'fence'
    ]


def tokens_of(page: str) -> list:
    return MarkdownIt('commonmark').parse((ROOT / page).read_text('utf-8'))


def _language(info: str) -> list[str]:
    return info.split()[:1] or ['']


def missing(expected: str, printed: str, rough: bool = False) -> str | None:
    """The first line of ``expected`` that was not printed in its place.

    A line ``...`` stands for any number of lines, and ``...`` in a line for
    anything. With ``rough`` all numbers and widths of columns are alike.
    """
    wanted = _plain(expected, rough).splitlines()
    text = _plain(printed, rough) + '\n'
    for count in range(1, len(wanted) + 1):
        if not re.search(_pattern(wanted[:count]), text, re.MULTILINE):
            return wanted[count - 1]
    return None


def _pattern(lines: list[str]) -> str:
    parts = ['^']
    for line in lines:
        some = re.escape(line).replace(re.escape('...'), '.*')
        parts.append('(?:.*\n)*?' if line.strip() == '...' else f'{some} *\n')
    return ''.join(parts)


def _plain(text: str, rough: bool) -> str:
    """Without colours and MMEngine's prefixes; see :func:`missing`."""
    text = _NOISE.sub('', text)
    if rough:
        text = re.sub(r'\d+(\.\d+)?(e[-+]?\d+)?', '0', text)
        text = re.sub(r' +', ' ', text)
    return text
