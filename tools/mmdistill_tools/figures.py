"""Figures of a study, as PNG files; no window is opened."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

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
    notes: Sequence[Sequence[str]] = (),
) -> None:
    """Pictures in rows and columns.

    Args:
        path: File to write.
        rows: Images of each row, (H, W, 3), RGB, uint8.
        titles: Title of each column.
        legend: RGB colour in 0-255 of each class name.
        notes: Text of each image, by row, drawn into the image.
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
    for line, texts in zip(axes, notes, strict=False):
        for axis, text in zip(line, texts, strict=True):
            if text:
                axis.text(
                    *(0.03, 0.04, text),
                    transform=axis.transAxes,
                    fontsize='small',
                    bbox=dict(facecolor='white', alpha=0.8, pad=1.5, lw=0),
                )
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(fill(title, 22))
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
        score: Name of the score, for the axis.
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


def points(
    path: str | Path, values: Mapping[str, Sequence[float]], label: str
) -> None:
    """A line for each row: a dot for each run, a bar at their mean.

    Args:
        path: File to write.
        values: Values of the runs of each row.
        label: Name of the value, for the axis.
    """
    figure = Figure((8, 0.9 + 0.34 * len(values)), layout='constrained')
    axis = figure.subplots()
    for line, found in enumerate(values.values()):
        axis.plot(found, [line] * len(found), 'o', color='tab:blue', alpha=0.7)
        axis.plot(np.mean(found), line, '|', color='black', markersize=18)
    axis.set_yticks(range(len(values)), list(values))
    axis.set_xlabel(f'{label}: a dot for each run, a bar at the mean')
    axis.grid(axis='x', alpha=0.3)
    axis.invert_yaxis()
    axis.margins(y=0.5 / len(values) + 0.05)
    _save(figure, path)


def class_points(
    path: str | Path, gains: Mapping[str, Mapping[str, float]], label: str
) -> None:
    """A line for each class, a dot for the gain of each row.

    Args:
        path: File to write.
        gains: Gain of each class, by row.
        label: Name of the gain, for the axis.
    """
    names = list(
        dict.fromkeys(name for found in gains.values() for name in found)
    )
    figure = Figure((8, 1.2 + 0.34 * len(names)), layout='constrained')
    axis = figure.subplots()
    markers = 'os^Dv<>PX*'
    for index, (title, found) in enumerate(gains.items()):
        lines = [names.index(name) for name in found]
        marker = markers[index % len(markers)]
        axis.plot(list(found.values()), lines, marker, label=title, alpha=0.8)
    axis.axvline(0, color='black', linewidth=0.8)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel(label)
    axis.grid(alpha=0.3)
    axis.invert_yaxis()
    figure.legend(loc='outside upper center', ncols=2, fontsize='small')
    _save(figure, path)


def _save(figure: Figure, path: str | Path) -> None:
    FigureCanvasAgg(figure)  # no display, with any matplotlib backend
    figure.savefig(path, dpi=DPI)
