"""What a benchmark measured, and everything needed to do it again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmdistill_tools.runs.tool import write_whole

from . import BenchmarkError


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
        about: Sizes of this row, and values that it gave.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)


@dataclass
class Claim:
    """A number made of rows, and its target; :mod:`.claims` computes it.

    Attributes:
        what: In words.
        kind: Name of the formula.
        of: Names of the rows that it is about; mostly one.
        over: Name of the row that they are compared with.
        base: Name of a row that is taken off both.
        target: What should hold; None if nothing is asked.
        at_least: Whether the target is a lower bound.
    """

    what: str
    kind: str
    of: list[str]
    over: str | None = None
    base: str | None = None
    target: float | None = None
    at_least: bool = False


@dataclass
class Section:
    """Contenders that were measured side by side."""

    name: str
    title: str
    sizes: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def row(self, name: str) -> Row:
        """The row of a name."""
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
        command: What was called.
        commit: Of this package, ``-dirty`` with uncommitted code.
        versions: Of Python and packages.
        machine: Processor, cores, threads, GPU.
        settings: Device, precision, seed, rounds, quick.
        peer: Its name, version and what was left out of it, or None.
        ended: Date and time, UTC.
        sections: What was measured.
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
        """Write it as JSON; never half of it."""
        text = json.dumps(asdict(self), indent=1, allow_nan=False)
        write_whole(path, f'{text}\n')


def read_report(path: Path) -> Report:
    """Read what :meth:`Report.write` wrote.

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


def _section(found: Mapping[str, Any]) -> Section:
    rows = [Row(**row) for row in found['rows']]
    claims = [Claim(**claim) for claim in found['claims']]
    return Section(**{**found, 'rows': rows, 'claims': claims})
