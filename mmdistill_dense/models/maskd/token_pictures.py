"""Pictures of receptive tokens: the mask of each on an image."""

from collections.abc import Iterable, Sequence
from math import ceil

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .token_images import LevelMasks

DPI = 130

#: Perceptually uniform, also in grey and for the colour-blind.
COLOUR_MAP = 'viridis'
OPACITY = 0.6
#: Tokens in a row of a picture; more of them fill further rows.
MAX_COLUMNS = 8
#: Longest side of an image in the picture, in pixels.
MAX_SIDE = 320
#: In inches: an image, the gap beside it, its title, the colour bar.
PICTURE_WIDTH, GAP_WIDTH, TITLE_HEIGHT, BAR_WIDTH = 2.1, 0.08, 0.42, 0.4


def draw_masks(
    image: np.ndarray, levels: Sequence[LevelMasks], title: str = ''
) -> np.ndarray:
    """Draw every token of every level.

    Each level has rows of its own. The left image shows the strongest token
    of each pixel, in the colour of that token's title; the others show one
    token each.

    Args:
        image: (H, W, 3), RGB, uint8.
        levels: Masks of each level on this image.
        title: Title of the picture.

    Returns:
        The picture, (H, W, 3), RGB, uint8.
    """
    scale = min(1, MAX_SIDE / max(image.shape[:2]))
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    columns = min(MAX_COLUMNS, max(len(level.masks) for level in levels))
    rows = [ceil(len(level.masks) / columns) for level in levels]
    figure, axes = _make_axes(size[1] / size[0], sum(rows), columns + 1)
    figure.text(0.5, 1, f'\n{title}', ha='center', va='top')
    starts = np.cumsum([0, *rows[:-1]])
    for index, (level, row) in enumerate(zip(levels, starts, strict=True)):
        places = axes[row : row + rows[index], 1:].flat
        _draw_strongest(axes[row, 0], small, level, index)
        _draw_tokens(places, small, level)
    return _render(figure)


def _make_axes(
    shape: float, rows: int, columns: int
) -> tuple[Figure, np.ndarray]:
    """Axes for the images, and the colour bar.

    All sizes are given in inches, so matplotlib need not solve for a layout.

    Args:
        shape: Height of an image divided by its width.
    """
    width = columns * (PICTURE_WIDTH + GAP_WIDTH) + GAP_WIDTH + BAR_WIDTH
    height = (
        rows * (PICTURE_WIDTH * shape + TITLE_HEIGHT)
        + TITLE_HEIGHT
        + GAP_WIDTH
    )
    figure = Figure((width, height), dpi=DPI)
    axes = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw=dict(
            left=GAP_WIDTH / width,
            right=1 - (GAP_WIDTH + BAR_WIDTH) / width,
            bottom=GAP_WIDTH / height,
            top=1 - 2 * TITLE_HEIGHT / height,
            wspace=GAP_WIDTH / PICTURE_WIDTH,
            hspace=TITLE_HEIGHT / (PICTURE_WIDTH * shape),
        ),
    )
    for axis in axes.flat:
        axis.set_axis_off()
    first = axes[0, -1].get_position()
    place = (
        first.x1 + GAP_WIDTH / width,
        first.y0,
        GAP_WIDTH / width,
        first.height,
    )
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), COLOUR_MAP),
        cax=figure.add_axes(place),
        alpha=OPACITY,
        ticks=[0, 0.5, 1],
    )
    bar.ax.tick_params(labelsize='small')
    return figure, axes


def _draw_strongest(
    axis: Axes, image: np.ndarray, level: LevelMasks, index: int
) -> None:
    palette = _palette(len(level.masks))
    _draw_overlay(axis, image, palette[level.masks.argmax(0)])
    stride = ' x '.join(map(str, dict.fromkeys(level.stride)))
    axis.set_title(
        f'level {index}, stride {stride}\n'
        f'{level.grid[0]} x {level.grid[1]} cells, Dice {level.dice:.2f}',
        fontsize='small',
    )


def _draw_tokens(
    axes: Iterable[Axes], image: np.ndarray, level: LevelMasks
) -> None:
    colours, palette = colormaps[COLOUR_MAP], _palette(len(level.masks))
    for token, (mask, axis) in enumerate(zip(level.masks, axes, strict=False)):
        _draw_overlay(axis, image, colours(mask)[..., :3])
        axis.set_title(
            f'token {token}\nmean {level.means[token]:.2f}, '
            f'area {level.areas[token]:.0%}',
            fontsize='small',
            color=palette[token],
        )


def _draw_overlay(axis: Axes, image: np.ndarray, tint: np.ndarray) -> None:
    """Draw a tint over the image in grey.

    Args:
        tint: RGB, (H, W, 3), in [0, 1], of any size.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    tint = cv2.resize(tint, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    axis.imshow((OPACITY * 255 * tint + (1 - OPACITY) * grey).astype(np.uint8))


def _palette(count: int) -> np.ndarray:
    """A colour for each token, (T, 3), in [0, 1], none of them grey."""
    distinct = np.delete(colormaps['tab10'].colors, 7, axis=0)
    if count <= len(distinct):
        return distinct[:count]
    hues = colormaps['hsv'](np.arange(count) / count)[:, :3]
    return 0.8 * hues  # the titles stay readable on white


def _render(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(
        figure
    )  # without a display, whatever the settings
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
