"""Results of a benchmark, with everything needed to repeat it."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from mmdistill_tools.runs.tool import write_atomically

from . import BenchmarkError
from .arguments import PACKAGE

#: The label of this package in files of earlier versions.
_OLD_LABEL = re.compile(r'our[s]\b')


@dataclass
class Row:
    """One contender.

    Attributes:
        name: Unique in its section.
        seconds: Wall time of each round.
        bytes: Counts by name: ``weights``, ``peak`` and ``net`` of a
            step; ``extra`` (over inputs and one gradient), ``saved``,
            ``feature``, ``traffic`` (what must be read and written at least)
            of a loss.
        about: Sizes of this row, losses, GPU synchronizations.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return median(self.seconds)


@dataclass
class Section:
    """Contenders that were measured side by side.

    Attributes:
        name: ``<mode>/<subject>``; the mode chooses the table.
        title: Title in tables and figures.
        sizes: Sizes of the measured batch or maps.
        rows: The contenders.
        notes: Sentences on the measurement.
    """

    name: str
    title: str
    sizes: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def row(self, name: str) -> Row:
        """The row with a name."""
        for row in self.rows:
            if row.name == name:
                return row
        names = ', '.join(row.name for row in self.rows)
        raise BenchmarkError(
            f'section {self.name!r} has no row {name!r}, only: {names}. The '
            'results file was edited, or is of another version.'
        )


@dataclass
class Report:
    """One run of the tool.

    Attributes:
        mode: ``losses``, ``step`` or ``memory``.
        command: The command line.
        commit: Commit of this package, ``-dirty`` with uncommitted code.
        versions: Versions of Python and packages.
        machine: Processor, cores, threads, GPU.
        settings: Device, precision, seed, rounds, quick.
        peer: Name, version and omitted parts of the peer, or None.
        ended: Date and time, UTC.
        sections: The measurements.
    """

    mode: str
    command: str
    commit: str | None
    versions: dict[str, str]
    machine: dict[str, Any]
    settings: dict[str, Any]
    peer: dict[str, Any] | None = None
    ended: str = ''
    sections: list[Section] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the report as JSON, atomically."""
        text = json.dumps(asdict(self), indent=1, allow_nan=False)
        write_atomically(path, f'{text}\n')


def read_report(path: Path) -> Report:
    """Read a file written by :meth:`Report.write`.

    Raises:
        BenchmarkError: If it cannot be read.
    """
    try:
        found = json.loads(path.read_text('utf-8'))
        sections = [_section(part) for part in found.pop('sections')]
        return Report(**found, sections=sections)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f'{path} cannot be read as results of tools/benchmark.py: '
            f'{error!r}. Run the benchmark again with --out {path}.'
        ) from error


def _section(content: Mapping[str, Any]) -> Section:
    # Earlier files also have ``claims``, computed from the rows.
    fields = {key: content[key] for key in content if key != 'claims'}
    return Section(**{**fields, 'rows': [*map(_row, content['rows'])]})


def _row(content: Mapping[str, Any]) -> Row:
    """A row with the current label of this package."""
    row = Row(**content)
    row.name = _current_label(row.name)
    if 'form' in row.about:
        row.about['form'] = _current_label(row.about['form'])
    return row


def _current_label(name: str) -> str:
    match = _OLD_LABEL.match(name)
    return f'{PACKAGE}{name[match.end() :]}' if match else name
