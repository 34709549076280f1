"""Figures of a study, as PNG files; no window is opened."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

#: Iterations and values of a curve.
Curve = tuple[Sequence[float], Sequence[float]]
DPI = 130


def picture_grid(
    path: str | Path,
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    legend: Mapping[str, Sequence[int]],
) -> None:
    """Pictures in rows and columns.

    Args:
        path: File to write.
        rows: Of each row the pictures, (H, W, 3), RGB, uint8.
        titles: One above each column.
        legend: RGB colour in 0-255 of each class name.
    """
    height, width = rows[0][0].shape[:2]
    side = 2.4  # inches, of a column
    below = 0.45 * (1 + len(legend) // 9)
    size = (side * len(titles), side * len(rows) * height / width + below)
    figure = Figure(size, layout='constrained')
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for line, pictures in zip(axes, rows, strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    patches = [
        Patch(color=np.divide(colour, 255), label=name)
        for name, colour in legend.items()
    ]
    figure.legend(
        handles=patches,
        loc='outside lower center',
        ncols=min(len(patches), 11),
        fontsize='small',
        frameon=False,
    )
    _save(figure, path)


def curves(
    path: str | Path,
    losses: Mapping[str, Curve],
    scores: Mapping[str, Curve],
    score: str,
) -> None:
    """Training losses on the left, validation on the right.

    Args:
        path: File to write.
        losses: A curve for each run.
        scores: A curve for each run.
        score: What is validated, for the axis.
    """
    figure = Figure((9, 3.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    for axis, runs, name in ((left, losses, 'loss'), (right, scores, score)):
        for run, (steps, values) in runs.items():
            axis.plot(steps, values, label=run, marker='.')
        axis.set(xlabel='iteration', ylabel=name)
        axis.grid(alpha=0.3)
    left.set_yscale('log')
    right.legend()
    _save(figure, path)


def gains(path: str | Path, values: Mapping[str, float], label: str) -> None:
    """A bar for each class, in points, gains and losses in two colours.

    Args:
        path: File to write.
        values: Gain of each class.
        label: What was gained over what, for the axis.
    """
    figure = Figure((8, 0.6 + 0.3 * len(values)), layout='constrained')
    axis = figure.subplots()
    numbers = list(values.values())
    bars = axis.barh(
        list(values),
        numbers,
        color=['tab:green' if n >= 0 else 'tab:red' for n in numbers],
    )
    axis.bar_label(bars, fmt='{:+.1f}', padding=3)
    axis.axvline(0, color='black', linewidth=0.8)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlabel(label)
    _save(figure, path)


def _save(figure: Figure, path: str | Path) -> None:
    FigureCanvasAgg(figure)  # no display, whatever matplotlib's settings say
    figure.savefig(path, dpi=DPI)
