"""Figures of a report, as PNG files: rounds of steps, losses by size."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from .columns import MIB
from .measurements import Report, Row, Section

DPI = 130


def draw_figures(report: Report, stem: Path) -> list[Path]:
    """Draw the figures of a report, each as ``<stem>_<mode>.png``.

    Returns:
        The written files.
    """
    written = []
    for mode, draw in FIGURES.items():
        sections = [
            section
            for section in report.sections
            if section.name.startswith(f'{mode}/')
        ]
        if sections:
            path = stem.with_name(f'{stem.name}_{mode}.png')
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(sections).savefig(path, dpi=DPI)
            written.append(path)
    return written


def _step(sections: list[Section]) -> Figure:
    """Sections stacked, with a line per row and a dot per time."""
    height = sum(0.35 * len(section.rows) + 0.9 for section in sections)
    figure = Figure((10, height), layout='constrained')
    ratios = [len(section.rows) + 1 for section in sections]
    axes = figure.subplots(len(sections), squeeze=False, height_ratios=ratios)
    for axis, section in zip(axes[:, 0], sections, strict=True):
        for line, row in enumerate(section.rows):
            times = [second * 1e3 for second in row.seconds]
            axis.plot(times, [line] * len(times), 'o', alpha=0.5, ms=4)
            axis.plot(row.median * 1e3, line, '|', color='black', ms=16)
        axis.set_xlabel('ms; dots: rounds, bar: median')
        axis.set_title(section.title, loc='left', fontsize='medium')
        names = [row.name for row in section.rows]
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.grid(axis='x', alpha=0.3)
        axis.set_xlim(left=0)
    return figure


def _scaling(sections: list[Section]) -> Figure:
    """A column per loss: time above, memory below."""
    figure = Figure((3.1 * len(sections), 6), layout='constrained')
    axes = figure.subplots(2, len(sections), squeeze=False)
    for (above, below), section in zip(axes.T, sections, strict=True):
        _by_form(above, section, lambda row: row.median * 1e3)
        _by_form(below, section, lambda row: row.bytes['extra'] / MIB)
        above.set_title(section.title.partition(',')[0], fontsize='medium')
        above.legend(fontsize='small')
        below.set_xlabel('elements of the map')
    axes[0, 0].set_ylabel('ms, forward and backward')
    axes[1, 0].set_ylabel('MiB over inputs and one gradient')
    return figure


def _by_form(
    axis: Axes, section: Section, value: Callable[[Row], float]
) -> None:
    rows = [row for row in section.rows if row.about['axis'] == 'size']
    rows.sort(key=lambda row: row.about['elements'])
    for form in dict.fromkeys(row.about['form'] for row in rows):
        # The axis is logarithmic, so 0 is clamped.
        points = [
            (row.about['elements'], max(value(row), 1e-3))
            for row in rows
            if row.about['form'] == form
        ]
        axis.plot(*zip(*points, strict=True), marker='.', label=form)
    axis.set(xscale='log', yscale='log')
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3)


FIGURES: dict[str, Callable[[list[Section]], Figure]] = dict(
    step=_step, scaling=_scaling
)
