"""Focal and global distillation of detectors (FGD)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmdistill_dense.functional import (
    attention_pool,
    box_masks,
    focal_global_distances,
)
from mmdistill_dense.functional.checks import (
    check_not_negative,
    check_positive,
)
from mmdistill_dense.functional.precision import full_precision
from mmdistill_dense.registry import MODELS

from .base import DistillationLoss
from .inputs import Targets


class ContextBlock(nn.Module):
    """What a global context block adds to every position of a map.

    ``linear(relu(norm(linear(attention_pool(x)))))``, with half the channels
    between the layers. The last layer starts at 0, so that the block adds
    nothing at first.

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.key = nn.Parameter(torch.empty(channels))
        self.fc1 = nn.Linear(channels, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.fc2 = nn.Linear(hidden, channels)
        nn.init.normal_(self.key, std=(2 / channels) ** 0.5)
        nn.init.zeros_(self.fc2.weight)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        with full_precision(attention_pool(feature, self.key)) as (x,):
            return self.fc2(self.norm(self.fc1(x)).relu())


@MODELS.register_module()
class FocalGlobalLoss(DistillationLoss):
    """Focal and global distillation of a detector (FGD, CVPR 2022).

    ``loss_weight`` times the weighted sum of
    :func:`~mmdistill_dense.functional.focal_global_distances`, with two
    context blocks per level: one for the student's map, one for the
    teacher's. Both are trained with the student and not exported. The
    defaults are those of the published class; its configs have others, which
    are in ``configs/_base_/terms``.

    Args:
        channels: Channels of the teacher's levels; a distiller sets them.
        foreground_weight: Weight of the distance inside of boxes; alpha in
            the paper. None of the four is negative.
        background_weight: Of that outside of boxes; beta.
        attention_weight: Of that between both maps' attention; gamma.
        context_weight: Of that between the maps with their contexts; lambda.
        tau: Temperature of the attention.
        published_boxes: Whether boxes are scaled as in the published code,
            from the image without padding to the padded map, which stretches
            them in a padded batch. By default they are divided by the stride.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.

    Raises:
        ValueError: If a weight is negative, or ``tau`` is not positive.
    """

    def __init__(
        self,
        channels: Sequence[int],
        foreground_weight: float = 1e-3,
        background_weight: float = 5e-4,
        attention_weight: float = 1e-3,
        context_weight: float = 5e-6,
        tau: float = 0.5,
        published_boxes: bool = False,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        self.weights = dict(
            foreground_weight=foreground_weight,
            background_weight=background_weight,
            attention_weight=attention_weight,
            context_weight=context_weight,
        )
        check_not_negative('FocalGlobalLoss', **self.weights)
        check_positive('FocalGlobalLoss', tau=tau)
        self.tau, self.published_boxes = tau, published_boxes
        self.student_blocks, self.teacher_blocks = (
            nn.ModuleList(map(ContextBlock, channels)) for _ in range(2)
        )

    def forward(
        self, *, student: Tensor, teacher: Tensor, level: int, targets: Targets
    ) -> Tensor:
        """Compare two (N, C, H, W) maps of one shape; returns a scalar.

        Args:
            student: The student's map, in the teacher's channels.
            teacher: The teacher's map.
            level: Which of the teacher's levels it is.
            targets: The boxes, and the stride of the maps.

        Raises:
            ValueError: In a segmentor, which has no boxes.
        """
        height, width = student.shape[-2:]
        foreground, background = box_masks(
            self._boxes_in_cells(targets, (height, width)),
            (height, width),
            student,
        )
        teacher = teacher.detach()
        found = focal_global_distances(
            student=student,
            teacher=teacher,
            foreground=foreground,
            background=background,
            shift=self.student_blocks[level](student)
            - self.teacher_blocks[level](teacher),
            tau=self.tau,
        )
        weighted = [
            weight * x
            for weight, x in zip(self.weights.values(), found, strict=True)
        ]
        return self.loss_weight * torch.stack(weighted).sum()

    def _boxes_in_cells(
        self, targets: Targets, size: tuple[int, int]
    ) -> list[Tensor]:
        """Boxes of each image in cells of a map of this size."""
        if self.published_boxes:
            return [
                _scaled(boxes, shape, size)
                for boxes, shape in zip(
                    targets.boxes, targets.image_shapes, strict=True
                )
            ]
        if targets.stride is None:
            raise ValueError(
                'FocalGlobalLoss compares maps (N, C, H, W) of the image, got '
                'tensors without a stride. Record maps, such as those of the '
                'neck.'
            )
        return [_scaled(x, targets.stride, (1, 1)) for x in targets.boxes]

    def extra_repr(self) -> str:
        weights = ', '.join(f'{k}={v}' for k, v in self.weights.items())
        return f'{super().extra_repr()}, {weights}, tau={self.tau}'


def _scaled(
    boxes: Tensor, pixels: tuple[float, float], cells: tuple[int, int]
) -> Tensor:
    """Boxes from pixels to cells: ``pixels`` are as long as ``cells``."""
    x, y = boxes[:, 0::2], boxes[:, 1::2]
    x, y = x / pixels[1] * cells[1], y / pixels[0] * cells[0]
    return torch.stack([x, y], -1).flatten(1)
