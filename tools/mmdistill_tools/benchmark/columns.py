"""The table of a section, in Markdown.

A column is a function of a row. Ratios are computed here: times relative to
the floor, the peer or the plain form, bandwidths relative to a copy, bytes
relative to those of the map.
"""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import quantiles

from mmdistill_tools.documents import markdown_table

from .arguments import PEER
from .loss_forms import PLAIN
from .measurements import Row, Section

MIB = 2**20
Columns = dict[str, Callable[[Row], str]]


def table_of(section: Section) -> str:
    """A title and a line for each row of a section, in Markdown."""
    first, make = TABLES[section.name.partition('/')[0]]
    columns = make(section)
    lines = [
        [row.name, *(cell(row) for cell in columns.values())]
        for row in section.rows
    ]
    table = markdown_table([first, *columns], lines)
    return f'**{_title(section)}**\n\n{table}'


def _title(section: Section) -> str:
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


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """First and third quartile; of a single value, the value itself."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = quantiles(values, n=4, method='inclusive')
    return first, third


def time_ratio(row: Row, reference: Row) -> str:
    """Ratio of medians, and quartiles of the ratios per round."""
    if row is reference:
        return '1'
    pairs = zip(row.seconds, reference.seconds, strict=True)
    first, third = quartiles([a / b for a, b in pairs])
    return f'{row.median / reference.median:.3f} ({first:.3f}-{third:.3f})'


def _times(form: str) -> Columns:
    def spread(row: Row) -> str:
        return '-'.join(f'{x * 1e3:{form}}' for x in quartiles(row.seconds))

    return {
        'ms': lambda row: f'{row.median * 1e3:{form}}',
        'quartiles': spread,
    }


def _bytes(key: str, over: str = '') -> Callable[[Row], str]:
    """Bytes by name, in MiB or as a ratio; empty if a row has none."""

    def cell(row: Row) -> str:
        if key not in row.bytes:
            return ''
        count = row.bytes[key]
        return f'{count / row.bytes[over]:.3f}' if over else _mib(count)

    return cell


def _mib(count: int) -> str:
    return f'{count / MIB:,.1f}'


def _peers(section: Section) -> list[Row]:
    return [row for row in section.rows if row.name.startswith(PEER)]


def _step(section: Section) -> Columns:
    base = section.row('student').median
    columns = {
        **_times(',.1f'),
        'above the student': lambda row: f'{(row.median - base) * 1e3:+,.1f}',
    }
    for other in (section.row('floor'), *_peers(section)):
        columns[f'/ {other.name}'] = partial(time_ratio, reference=other)
    if any('synchronizations' in row.about for row in section.rows):
        columns['waits for the GPU'] = lambda row: str(
            row.about.get('synchronizations', '')
        )
    return columns


def _memory(section: Section) -> Columns:
    base = section.row('student').bytes

    def above(row: Row, *keys: str) -> int:
        return sum(row.bytes[key] - base[key] for key in keys)

    def ratio(row: Row, other: Row) -> str:
        below = above(other, 'peak')
        return f'{above(row, "peak") / below:.3f}' if below > 0 else 'none'

    columns = {
        'weights': _bytes('weights'),
        'peak above them': _bytes('peak'),
        'above the student': lambda row: _mib(above(row, 'peak')),
    }
    for other in _peers(section):
        columns[f'/ {other.name}'] = partial(ratio, other=other)
    columns['peak and weights above the student'] = lambda row: (
        f'{above(row, "peak", "weights") / MIB:,.1f}'
    )
    return columns


def _losses(section: Section) -> Columns:
    reference = next(iter(_peers(section)), None) or section.row(PLAIN)
    copy = section.row('copy')

    def rate(row: Row) -> float:
        return row.bytes['traffic'] / row.median

    def ratio(row: Row) -> str:
        # Only whole passes, forward and backward, are compared.
        return time_ratio(row, reference) if 'extra' in row.bytes else ''

    return {
        **_times(',.3g'),
        f'/ {reference.name}': ratio,
        'GB/s': lambda row: f'{rate(row) / 1e9:,.1f}',
        '/ copy': lambda row: f'{rate(row) / rate(copy):.3f}',
        'extra MiB': _bytes('extra'),
        'extra / map': _bytes('extra', 'feature'),
        'saved MiB': _bytes('saved'),
        'saved / map': _bytes('saved', 'feature'),
    }


def _scaling(section: Section) -> Columns:
    plain = {
        row.about['at']: row
        for row in section.rows
        if row.about['form'] == PLAIN
    }

    def ratio(row: Row) -> str:
        if row.about['axis'] != 'size':
            return ''
        return time_ratio(row, plain[row.about['at']])

    return {
        'ms': _times(',.3g')['ms'],
        'ns per element': lambda row: (
            f'{row.median / row.about["elements"] * 1e9:,.3g}'
        ),
        f'/ {PLAIN}': ratio,
        'extra MiB': _bytes('extra'),
    }


#: Title of the first column and function of the other columns, by mode.
TABLES: dict[str, tuple[str, Callable[[Section], Columns]]] = dict(
    step=('a training step', _step),
    memory=('MiB', _memory),
    losses=('forward and backward', _losses),
    scaling=('forward and backward', _scaling),
)
