"""A report's tables in documents.

Two comment lines mark a block; the lines between them are replaced::

    <!-- benchmark: docs/benchmarks/cpu_step.json step -->
    <!-- end of benchmark -->
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdistill_tools.documents import Blocks

from . import BenchmarkError
from .columns import table_of
from .measurements import Report, read_report

BLOCKS = Blocks('benchmark', 'docs/benchmarks/NAME.json step', BenchmarkError)


def update_document(path: Path, root: Path) -> bool:
    """Write the tables of a document into its blocks.

    Args:
        path: A Markdown file.
        root: Folder that the names of results files are relative to.

    Returns:
        Whether something changed.

    Raises:
        BenchmarkError: If a table has no such name, or a file cannot be
            read.
    """

    def make(file: str, table: str) -> str:
        try:
            return markdown_of(read_report(root / file), table)
        except BenchmarkError as error:
            raise BenchmarkError(
                f'{path}, {table!r} of {file}: {error}'
            ) from error

    return BLOCKS.update(path, make)


def markdown_of(report: Report, name: str) -> str:
    """A table of a report, by its name in a block of a document.

    Args:
        report: The results.
        name: ``step``, ``memory``, ``losses`` or ``scaling`` for all their
            sections, one section as in ``step/pspnet``, or ``origin``.

    Raises:
        BenchmarkError: If the report has no such table.
    """
    if name == 'origin':
        return origin_of(report)
    parts, known = [], {}
    for section in report.sections:
        known.update({section.name.partition('/')[0]: 0, section.name: 0})
        if f'{section.name}/'.startswith(f'{name}/'):
            parts.append(table_of(section))
    if not parts:
        raise BenchmarkError(
            f'the report has no table {name!r}, only '
            f'{", ".join([*known, "origin"])}.'
        )
    return '\n\n'.join(parts)


def origin_of(report: Report) -> str:
    """Origin of the numbers, in a few lines."""
    machine = dict(report.machine)
    cores, processor = machine.pop('cores'), machine.pop('processor')
    lines = [
        f'```shell\n{report.command}\n```\n',
        f'- {cores} cores of {processor}, {_listed(machine)}; {report.ended}, '
        f'commit {report.commit or "none"}',
        f'- {_listed(report.settings)}',
        f'- {_listed(report.versions)}',
    ]
    if report.peer:
        left_out = ', '.join(f'`{name}`' for name in report.peer['left_out'])
        lines.append(
            f'- {report.peer["name"]} {report.peer["version"]}, imported '
            f'without {left_out}'
        )
    notes = dict.fromkeys(n for s in report.sections for n in s.notes)
    return '\n'.join([*lines, *(f'- {note}' for note in notes)])


def _listed(facts: Mapping[str, Any]) -> str:
    return ', '.join(f'{key} {value}' for key, value in facts.items())
