"""Tables of a section, for documents (Markdown) and for the console."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from rich.table import Table as RichTable

from .claims import (
    MIB,
    holds,
    quartiles,
    spread_of,
    time_per_element,
    value_of,
)
from .measurements import Claim, Section

#: Claims whose number is one of MiB, not a ratio.
IN_MIB = {'extra MiB'}


@dataclass(frozen=True)
class Table:
    """Cells, as text."""

    title: str
    header: Sequence[str]
    lines: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Numbers to the right."""
        rule = ['---', *['--:'] * (len(self.header) - 1)]
        rows = (self.header, rule, *self.lines)
        return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in rows)

    def rich(self) -> RichTable:
        """For the console."""
        table = RichTable(title=self.title, title_justify='left')
        for index, name in enumerate(self.header):
            justify = 'right' if index else 'left'
            table.add_column(name, justify=justify, overflow='fold')
        for cells in self.lines:
            table.add_row(*cells)
        return table


def tables_of(section: Section) -> list[Table]:
    """What was measured, and what is claimed of it."""
    mode = section.name.partition('/')[0]
    measured = ROWS[mode](section)
    if not section.claims:
        return [measured]
    return [measured, claims_table(section)]


def claims_table(section: Section) -> Table:
    """Each claim's number beside its target."""
    lines = [
        [
            claim.what,
            _number(value_of(section, claim), claim),
            _between(spread_of(section, claim), 1, '.3f'),
            _target(claim),
            {True: 'yes', False: 'no', None: ''}[holds(section, claim)],
        ]
        for claim in section.claims
    ]
    header = ['compared', 'value', 'round by round', 'target', 'met']
    return Table(section.title, header, lines)


def _number(value: float | None, claim: Claim) -> str:
    if value is None:
        return 'none'
    return f'{value:,.0f} MiB' if claim.kind in IN_MIB else f'{value:.3f}'


def _target(claim: Claim) -> str:
    if claim.target is None:
        return ''
    sign = '>=' if claim.at_least else '<='
    unit = ' MiB' if claim.kind in IN_MIB else ''
    return f'{sign} {claim.target:g}{unit}'


def _between(
    pair: tuple[float, float] | None, factor: float, form: str
) -> str:
    if pair is None:
        return ''
    return '-'.join(f'{value * factor:{form}}' for value in pair)


def _step_rows(section: Section) -> Table:
    base = median(section.row('student').seconds)
    lines = []
    for row in section.rows:
        middle = median(row.seconds)
        lines.append(
            [
                row.name,
                f'{middle * 1e3:,.1f}',
                _between(quartiles(row.seconds), 1e3, ',.1f'),
                f'{(middle - base) * 1e3:+,.1f}',
            ]
        )
    header = ['a training step', 'ms', 'quartiles', 'above the student']
    return Table(titled(section), header, lines)


def _memory_rows(section: Section) -> Table:
    base = section.row('student').bytes['peak']
    lines = [
        [
            row.name,
            _mib(row.bytes['weights']),
            _mib(row.bytes['peak']),
            _mib(row.bytes['peak'] - base),
        ]
        for row in section.rows
    ]
    header = ['MiB', 'weights', 'peak above them', 'above the student']
    return Table(titled(section), header, lines)


def _loss_rows(section: Section) -> Table:
    lines = [
        [
            row.name,
            f'{median(row.seconds) * 1e3:,.3g}',
            _between(quartiles(row.seconds), 1e3, ',.3g'),
            f'{row.bytes["traffic"] / median(row.seconds) / 1e9:,.1f}',
            _mib(row.bytes.get('extra')),
            _mib(row.bytes.get('saved')),
        ]
        for row in section.rows
    ]
    header = ['forward and backward', 'ms', 'quartiles', 'GB/s']
    header += ['extra MiB', 'saved MiB']
    return Table(titled(section), header, lines)


def _scaling_rows(section: Section) -> Table:
    lines = [
        [
            row.name,
            f'{median(row.seconds) * 1e3:,.3g}',
            f'{time_per_element(row) * 1e9:,.3g}',
            _mib(row.bytes.get('extra')),
        ]
        for row in section.rows
    ]
    header = ['forward and backward', 'ms', 'ns per element', 'extra MiB']
    return Table(titled(section), header, lines)


ROWS: dict[str, Callable[[Section], Table]] = dict(
    step=_step_rows,
    memory=_memory_rows,
    losses=_loss_rows,
    scaling=_scaling_rows,
)


def _mib(count: int | None) -> str:
    return '' if count is None else f'{count / MIB:,.1f}'


def titled(section: Section) -> str:
    """What was measured, and at which size."""
    sizes = section.sizes
    if 'batch' in sizes:
        return (
            f'{section.title}: batch {sizes["batch"]} of '
            f'{sizes["height"]}x{sizes["width"]} pixels'
        )
    if 'shapes' in sizes:
        first = 'x'.join(map(str, sizes['shapes'][0]))
        return f'{section.title}: maps from {first} on'
    return section.title
