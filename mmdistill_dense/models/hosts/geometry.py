"""Which pixels of an image the cells of a map cover."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from .classifiers import ClassScores

Size = tuple[int, int]
#: ``'strided'``: cell k begins at pixel k * stride, on any image. ``'whole'``:
#: the cells divide the image, whatever its size. ``'unknown'``: neither.
Coverage = Literal['strided', 'whole', 'unknown']

#: Heights and widths of the second image of a dry run, in pixels; the first
#: that the model takes. Their height is divided by strides up to 128, and by
#: patches of 14 pixels.
PROBE_SIZES = ((896, 32), (896, 128))
#: Pixels that padding inside a network may add or drop at an edge.
_SLACK = 32


@dataclass(frozen=True)
class FeatureSpec:
    """Shape and stride of a recorded tensor.

    Args:
        shape: Shape in the dry run: of one image, or of one RoI for a box
            head.
        stride: Input pixels per cell, vertically and horizontally; ``None``
            for tensors other than maps.
        coverage: How the cells lie on images of other sizes.
        scores: What the channels are, in the output of a classifier.
    """

    shape: tuple[int, ...]
    stride: tuple[float, float] | None
    coverage: Coverage = 'strided'
    scores: ClassScores | None = None

    @property
    def channels(self) -> int:
        """Size of dimension 1; of dimension 0 for a 1-D tensor."""
        return self.shape[1] if len(self.shape) > 1 else self.shape[0]

    def __str__(self) -> str:
        if self.stride is None:
            return 'x'.join(map(str, self.shape))
        vertical, horizontal = (f'{s:.4g}' for s in self.stride)
        same = vertical == horizontal
        stride = vertical if same else f'{vertical}x{horizontal}'
        return f'{self.channels} channels at stride {stride}'

    def cell_size(
        self, grid: Sequence[int], image: Sequence[int] | None
    ) -> tuple[float, float]:
        """Height and width of a cell, in pixels of the batch.

        Args:
            grid: Height and width of the map, in cells.
            image: Those of the batch, in pixels; ``None``: as in the dry run.

        Raises:
            RuntimeError: If such a grid cannot have the stride of the dry
                run.
        """
        if image is None or self.stride is None:
            return self.stride or (1.0, 1.0)
        if self.coverage == 'whole':
            return image[0] / grid[0], image[1] / grid[1]
        for cells, stride, pixels in zip(
            grid, self.stride, image, strict=True
        ):
            if abs(cells * stride - pixels) >= max(stride, _SLACK):
                raise RuntimeError(
                    f'a map of {_by(grid)} cells for a batch of {_by(image)} '
                    f'pixels does not have the stride of the dry run, {self}, '
                    'so the pixels of its cells are not known. Set input_size '
                    'to the size of the batches, or record another module.'
                )
        return self.stride


@dataclass(frozen=True)
class InputResizing:
    """How a network resizes the images that it is given.

    Args:
        multiple: Height and width become the nearest multiples of it, in
            pixels, so that a whole number of patches covers the image.
        scale: Factor of the size before that.
    """

    multiple: int = 1
    scale: float = 1.0

    def __str__(self) -> str:
        parts = []
        if self.scale != 1:
            parts.append(f'resized by {self.scale:g}')
        if self.multiple > 1:
            parts.append(f'resized to multiples of {self.multiple} pixels')
        return ' and '.join(parts)

    def network_size(self, size: Sequence[int]) -> Size:
        """Height and width that the network sees, in pixels."""
        height, width = (self._side(side) for side in size)
        return height, width

    def _side(self, side: int) -> int:
        if self.multiple == 1:
            return max(int(side * self.scale), 1)
        patches = round(side * self.scale / self.multiple)
        return max(patches, 1) * self.multiple

    def __call__(self, images: Tensor) -> Tensor:
        """Resize images (N, C, H, W) bilinearly, with anti-aliasing.

        With ``multiple`` the result covers the same pixels. Otherwise pixels
        have exactly the size ``1 / scale``, and a part of one is dropped at
        the right and at the bottom.
        """
        size = self.network_size(images.shape[-2:])
        if size == tuple(images.shape[-2:]):
            return images
        target = (
            dict(size=size)
            if self.multiple > 1
            else dict(scale_factor=self.scale, recompute_scale_factor=False)
        )
        return F.interpolate(
            images,
            mode='bilinear',
            align_corners=False,
            antialias=True,
            **target,
        )


def resizing_of(model: nn.Module) -> InputResizing:
    """The resizing inside a model's backbone; by default none."""
    backbone = getattr(model, 'backbone', None)
    return getattr(backbone, 'resizing', None) or InputResizing()


def spec_of(feature: Tensor, size: Size) -> FeatureSpec:
    """Shape and stride of a tensor from an image of ``size`` (H, W).

    The stride is what the grid says: pixels divided by cells.
    """
    shape = tuple(feature.shape)
    if len(shape) != 4:
        return FeatureSpec(shape, None)
    return FeatureSpec(shape, (size[0] / shape[2], size[1] / shape[3]))


def measured_spec(
    feature: Tensor,
    probe: Tensor | None,
    size: Size,
    resizing: InputResizing,
) -> FeatureSpec:
    """Shape and true stride of a tensor, from images of two sizes.

    A network that pads or crops its images inside has another stride than
    its grid says: 7 cells for 96 pixels are patches of 14.

    Args:
        feature: Tensor of an image of ``size``.
        probe: That of an image of :data:`PROBE_SIZES`; ``None``: the model
            takes no such image, and only a stride that is a whole number is
            believed.
        size: Height and width of the first image, in pixels.
        resizing: What happens to images before the network.

    Raises:
        ValueError: If patches do not divide ``resizing.multiple``.
    """
    spec = spec_of(feature, size)
    if spec.stride is None:
        return spec
    grid = spec.shape[2:]
    if probe is not None and probe.ndim == 4:
        if tuple(probe.shape[2:]) == grid and size not in PROBE_SIZES:
            return FeatureSpec(spec.shape, spec.stride, 'whole')
    else:
        probe = None
    seen = resizing.network_size(size)
    rows = [(grid[0], seen[0])]
    if probe is not None:
        rows.append((probe.shape[2], resizing.network_size(PROBE_SIZES[0])[0]))
    strides = _stride(rows), _stride([(grid[1], seen[1])])
    vertical = strides[0]
    if vertical and abs(grid[1] * vertical - seen[1]) < max(vertical, _SLACK):
        strides = vertical, vertical
    if None in strides:
        return FeatureSpec(spec.shape, spec.stride, 'unknown')
    if resizing.multiple > 1:
        _check_multiple(spec, strides, resizing.multiple)
        return FeatureSpec(spec.shape, spec.stride, 'whole')
    scale = resizing.scale
    return FeatureSpec(spec.shape, (strides[0] / scale, strides[1] / scale))


def _stride(looks: list[tuple[int, int]]) -> int | None:
    """The stride that fits cells and pixels of one or two images.

    The last image decides; among those that fit, one that divides the images
    evenly, and then a power of two, is taken.
    """
    if len(looks) == 1:
        cells, pixels = looks[0]
        return None if pixels % cells else pixels // cells
    (few, small), (many, large) = looks
    fits = [
        stride
        for stride in range(1, large + 1)
        if abs(many - large / stride) < 1
        and abs(few * stride - small) < max(stride, _SLACK)
    ]

    def rank(stride: int) -> tuple[int, bool]:
        exact = sum(cells * stride == pixels for cells, pixels in looks)
        return exact, stride & (stride - 1) == 0

    return max(fits, key=rank, default=None)


def _check_multiple(spec: FeatureSpec, strides: tuple, multiple: int) -> None:
    for stride in strides:
        if multiple % stride:
            raise ValueError(
                f'multiple={multiple} is no multiple of the stride {stride} '
                f'of a map with {spec.channels} channels, so its cells would '
                f'not divide the image. Set multiple={stride}.'
            )


def _by(size: Sequence[int]) -> str:
    return 'x'.join(map(str, size))
