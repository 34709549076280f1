"""What a loss may need of a batch beside the two maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

#: Tensors that a term records besides, by name and side.
Extras = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Targets:
    """Ground truth of a batch, in pixels of the padded batch.

    That is after batch augmentation, as the student's own losses get it.

    Args:
        image_shapes: Height and width of each image without padding.
        batch_shape: Height and width of the padded batch.
        stride: Pixels per cell of the compared maps, vertically and
            horizontally; ``None`` for tensors other than maps.
        all_boxes: Boxes (G, 4) as x1, y1, x2, y2 of each image; ``None`` in
            a segmentor.
        all_labels: Classes (G,) of these boxes, likewise.
        all_pixels: Classes (N, H, W) of all pixels; ``None`` in a detector.
    """

    image_shapes: Sequence[tuple[int, int]]
    batch_shape: tuple[int, int]
    stride: tuple[float, float] | None = None
    all_boxes: Sequence[Tensor] | None = None
    all_labels: Sequence[Tensor] | None = None
    all_pixels: Tensor | None = None

    @property
    def boxes(self) -> Sequence[Tensor]:
        """Boxes (G, 4) as x1, y1, x2, y2 of each image.

        Raises:
            ValueError: In a segmentor.
        """
        return _given(self.all_boxes, 'boxes', 'segmentor')

    @property
    def labels(self) -> Sequence[Tensor]:
        """Class (G,) of each box; raises as :attr:`boxes` does."""
        return _given(self.all_labels, 'labels of boxes', 'segmentor')

    @property
    def label_map(self) -> Tensor:
        """Class (N, H, W) of each pixel, int64; padding has the host's value.

        Raises:
            ValueError: In a detector.
        """
        return _given(self.all_pixels, 'a label map', 'detector')


def _given(value: Any, what: str, host: str) -> Any:
    if value is None:
        raise ValueError(
            f'the loss needs {what} of targets, which a {host} does not have. '
            'Use a loss for this kind of model.'
        )
    return value


@dataclass(frozen=True)
class Assignment:
    """What the student's dense head assigned on one level, in this step.

    P priors: by rows, by columns, then those of one cell.

    Args:
        labels: Class of each prior (N, P); the number of classes for
            background.
        label_weights: Weight of its classification (N, P); 0 where it is
            ignored.
        box_targets: Its box (N, P, 4) in the head's own form: pixels x1, y1,
            x2, y2 (GFL, ATSS), or the encoded difference to the prior
            (RetinaNet); 0 for background.
        priors: The prior itself (N, P, 4), in pixels.
        avg_factor: Divisor of the head's classification loss, the same on
            all levels; in GFL and ATSS averaged over processes.
        coding: Means and standard deviations of the encoded differences to
            priors that the head regresses (RetinaNet, ATSS): of centre x, y
            over width, height, and of the logarithms of width and height;
            ``None``: it regresses something else.
    """

    labels: Tensor
    label_weights: Tensor
    box_targets: Tensor
    priors: Tensor
    avg_factor: float | Tensor
    coding: tuple[Sequence[float], Sequence[float]] | None = None

    def positives(self, classes: int) -> Tensor:
        """Whether each prior (N, P) is assigned to an object.

        Args:
            classes: Number of classes.
        """
        return (self.labels >= 0) & (self.labels < classes)


def on_grid(values: Tensor, like: Tensor) -> Tensor:
    """Values of priors as maps: (N, P, ...) -> (N, A, ..., H, W).

    Args:
        values: One value, or several, of each of the P = H W A priors.
        like: Map (N, C, H, W).
    """
    return values.unflatten(1, (*like.shape[2:], -1)).movedim((1, 2), (-2, -1))


def extra(loss: nn.Module, extras: Extras, name: str, side: str) -> Tensor:
    """One of the tensors that a term records besides.

    Args:
        loss: What needs it, for messages.
        extras: All of them.
        name: Its name.
        side: ``'student'`` or ``'teacher'``.

    Raises:
        ValueError: If the term does not record it.
    """
    if side not in extras.get(name, {}):
        raise ValueError(
            f'{type(loss).__name__} needs the extra {name!r} of the {side}, '
            f'the term has {sorted(extras)}: write extras=dict({name}=dict('
            f"{side}='module'))."
        )
    return extras[name][side]
