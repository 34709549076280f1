"""A report's tables in documents.

A document says where a table goes, and the lines in between are written::

    <!-- benchmark: docs/benchmarks/cpu_step.json step -->
    <!-- end of benchmark -->
"""

from collections.abc import Iterator
from pathlib import Path

from mmdistill_tools.documents import Blocks

from . import BenchmarkError
from .measurements import Report, read_report
from .tables import tables_of, titled

BLOCKS = Blocks('benchmark', 'docs/benchmarks/NAME.json step', BenchmarkError)


def update_document(path: Path, root: Path) -> bool:
    """Write the tables that a document asks for.

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
                f'{path} asks for {table!r} of {file}: {error}'
            ) from error

    return BLOCKS.update(path, make)


def markdown_of(report: Report, name: str) -> str:
    """A table of a report, by the name that a block of a document asks for.

    Args:
        report: What was measured.
        name: ``step``, ``memory``, ``losses`` or ``scaling``, all sections
            of these, or one as in ``step/pspnet``; ``claims``, those of all
            sections; ``origin``.

    Raises:
        BenchmarkError: If the report has no such table.
    """
    if name == 'origin':
        return origin_of(report)
    sections = [
        section
        for section in report.sections
        if name == 'claims' or f'{section.name}/'.startswith(f'{name}/')
    ]
    if not sections:
        known = dict.fromkeys(_names(report))
        raise BenchmarkError(
            f'the report has no table {name!r}, only {", ".join(known)}.'
        )
    parts = []
    for section in sections:
        parts.append(f'**{titled(section)}**')
        tables = tables_of(section)
        shown = tables[1:] if name == 'claims' else tables
        parts += [table.markdown() for table in shown]
    return '\n\n'.join(parts)


def _names(report: Report) -> Iterator[str]:
    for section in report.sections:
        yield section.name.partition('/')[0]
        yield section.name
    yield from ('claims', 'origin')


def origin_of(report: Report) -> str:
    """Where the numbers are from, in a few lines."""
    said = dict(report.machine)
    parts = [
        f'{said.pop("cores")} cores of {said.pop("processor")}',
        *(f'{key} {value}' for key, value in said.items()),
    ]
    settings = ', '.join(
        f'{key} {value}' for key, value in report.settings.items()
    )
    versions = ', '.join(f'{k} {v}' for k, v in report.versions.items())
    lines = [
        f'```shell\n{report.command}\n```\n',
        f'- {", ".join(map(str, parts))}; {report.ended}, commit '
        f'{report.commit or "none"}',
        f'- {settings}',
        f'- {versions}',
    ]
    if report.peer:
        left_out = ', '.join(f'`{name}`' for name in report.peer['left_out'])
        lines.append(
            f'- {report.peer["name"]} {report.peer["version"]}, imported '
            f'without {left_out}'
        )
    notes = dict.fromkeys(n for s in report.sections for n in s.notes)
    return '\n'.join([*lines, *(f'- {note}' for note in notes)])
