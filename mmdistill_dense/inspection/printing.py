"""Prints tables on a terminal and in a pipe."""

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

#: Wide enough for any line, so that no line is cut or wrapped in a pipe.
_PIPE_WIDTH = 10_000


def show(parts: Iterable[RenderableType]) -> None:
    """Print tables and sentences to standard output."""
    console = Console(
        width=None if sys.stdout.isatty() else _PIPE_WIDTH,
        markup=False,  # print brackets as they are
        emoji=False,
        highlight=False,
    )
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    for line in captured.get().splitlines():
        print(line.rstrip())


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> Group:
    """A title above a plain table.

    Columns whose name ends in ``>`` are right-aligned.
    """
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        justify = 'right' if name.endswith('>') else 'left'
        made.add_column(name.rstrip('>'), justify=justify, overflow='fold')
    for row in rows:
        made.add_row(*row)
    return Group(Text(title, style='bold'), made)


def format_count(number: float) -> str:
    """Format a number with three digits and k, M, G or T."""
    units = ['', 'k', 'M', 'G', 'T']
    while abs(number) >= 999.5 and len(units) > 1:
        number /= 1000
        del units[0]
    return f'{number:.3g} {units[0]}'.rstrip()


def format_size(size: tuple[int, ...]) -> str:
    """Format height and width, as in 512x1024."""
    return 'x'.join(map(str, size))
