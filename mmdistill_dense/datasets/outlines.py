"""Outlines and marks of the things in the embedded data set."""

import cv2
import numpy as np

from .textures import MUTED, two_colours

#: Classes in the order of their labels.
THINGS = ('disc', 'button', 'gift', 'tile', 'kite', 'star', 'ring', 'cross')
_SHIFT = 4  # fractional bits that OpenCV reads in a coordinate


def outline(kind: str) -> list[np.ndarray]:
    """Closed outlines of a thing in the unit circle, (N, 2) each.

    A second outline is a hole.
    """
    if kind in ('disc', 'button'):
        return [_regular(32)]
    if kind in ('gift', 'tile'):
        return [np.array([(0.7, 0.7), (-0.7, 0.7), (-0.7, -0.7), (0.7, -0.7)])]
    if kind == 'kite':
        return [_regular(3)]
    if kind == 'star':
        radii = np.where(np.arange(10) % 2, 0.45, 1.0)
        return [_regular(10) * radii[:, None]]
    if kind == 'ring':
        return [_regular(32), 0.5 * _regular(32)]
    return [_cross(arm=0.95, half=0.32)]


def _regular(corners: int) -> np.ndarray:
    turn = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _cross(arm: float, half: float) -> np.ndarray:
    corner = [(arm, -half), (arm, half), (half, half), (half, arm)]
    quarter = np.array(corner[:3])
    turn = np.array([[0, 1], [-1, 0]])  # a quarter, row vectors
    return np.concatenate(
        [quarter @ np.linalg.matrix_power(turn, k) for k in range(4)]
    )


def place(
    points: np.ndarray, centre: np.ndarray, radius: np.ndarray, angle: float
) -> np.ndarray:
    """Scale, rotate and translate points of the unit circle to pixels.

    Args:
        points: (N, 2) of x and y.
        centre: (2,), in pixels.
        radius: (2,), along the axes of the thing, in pixels.
        angle: In radians.
    """
    c, s = np.cos(angle), np.sin(angle)
    return (points * radius) @ np.array([[c, s], [-s, c]]) + centre


def fill(height: int, width: int, outlines: list[np.ndarray]) -> np.ndarray:
    """Mask of outlines in pixels, even-odd, (H, W) bool."""
    mask = np.zeros((height, width), np.uint8)
    fixed = [
        np.round(points * 2**_SHIFT).astype(np.int32) for points in outlines
    ]
    cv2.fillPoly(mask, fixed, 1, shift=_SHIFT)
    return mask.astype(bool)


def mark(rng: np.random.Generator, kind: str, draw) -> list[tuple]:
    """Marks that distinguish a button from a disc, and a gift from a tile.

    Args:
        kind: Name of the class.
        draw: Returns the mask of outlines in the unit circle, placed as the
            thing is.

    Returns:
        Pairs of a mask (H, W) and a colour (3,).
    """
    dark, light = two_colours(rng, MUTED, 0.4)
    if kind == 'button':
        dots = [0.2 * _regular(12) + 0.45 * spot for spot in _regular(4)]
        return [(draw(dots), dark)]
    if kind == 'gift':
        bar = np.array([(-0.7, -0.1), (0.7, -0.1), (0.7, 0.1), (-0.7, 0.1)])
        return [(draw([bar]), dark), (draw([bar[:, ::-1]]), light)]
    return []
