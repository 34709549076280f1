"""Optional keywords of losses and connectors in one step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from mmengine.dist import get_rank
from torch import Tensor, nn

from mmdistill_dense.functional import keyed_generator

from ..hosts import FeatureSpec
from ..hosts.assignment import (
    assigned_strides,
    assigning_head,
    blank_assignment,
)
from ..hosts.targets import blank_targets
from ..losses.inputs import Assignment, Targets
from .extras import Extras
from .schedule import seed_of_run

Stride = tuple[float, float]


@dataclass
class LossInputs:
    """What the losses of a step may need; computed on request.

    Args:
        iteration: Returns the Runner's iteration, counted from 0.
        image: Height and width of the batch, in pixels; ``None``: those of
            the dry run.
        read_targets: Returns the targets of the batch.
        assigned: What the student's dense head assigned, level by level.
        strides: Strides of these levels, in pixels.
        device: Device on which random numbers are drawn.
        extras: Further tensors of the term that is computed.
        through: Runs a map of this term through modules of its teacher: a
            function of the teacher's level and the map; ``None``: it does
            not.
    """

    iteration: Callable[[], int] = int
    image: Sequence[int] | None = None
    read_targets: Callable[[], Targets] | None = None
    assigned: Sequence[Assignment] = ()
    strides: Sequence[Stride] = ()
    device: torch.device | str = 'cpu'
    extras: Extras = field(default_factory=dict)
    through: Callable[[int, Tensor], Tensor] | None = None

    @cached_property
    def _batch_targets(self) -> Targets:
        if self.read_targets is None:
            raise RuntimeError('the loss needs targets, but there are none.')
        return self.read_targets()

    def targets(self, spec: FeatureSpec) -> Targets:
        """Targets with the stride of a level."""
        return replace(self._batch_targets, stride=spec.stride)

    def assigned_to(self, spec: FeatureSpec, feature: Tensor) -> Assignment:
        """Assignment of the head's level that has a map's stride.

        Args:
            spec: Level of the compared maps.
            feature: A compared map (N, C, H, W).

        Raises:
            ValueError: If the head has no level of this stride.
            RuntimeError: If the head assigned nothing in this step, or to
                another number of cells.
        """
        if spec.stride is None or spec.stride not in self.strides:
            strides = ', '.join(f'{v:g}' for v, _ in self.strides)
            raise ValueError(
                "the loss needs 'assigned', but the student's head has the "
                f'strides {strides} and the compared maps {spec}. Record '
                'levels of these strides, or set level_weights to 0 for '
                'others.'
            )
        if len(self.assigned) != len(self.strides):
            raise RuntimeError(
                "the loss needs 'assigned', but the student's head computed "
                f'its loss for {len(self.assigned)} levels, expected '
                f'{len(self.strides)}: it assigns targets otherwise.'
            )
        found = self.assigned[self.strides.index(spec.stride)]
        height, width = feature.shape[-2:]
        if found.labels.shape[1] % (height * width):
            raise RuntimeError(
                f"'assigned' has {found.labels.shape[1]} priors at stride "
                f'{spec.stride[0]:g}, expected a multiple of the '
                f'{height}x{width} cells of the compared maps.'
            )
        return found

    def generator(self, term: str, level: int, user: str) -> torch.Generator:
        """A random generator of this step, process, term and level.

        Args:
            term: Name of the term.
            level: Index of the teacher's level.
            user: What draws: two users of one level draw other numbers.
        """
        now = self.iteration()
        key = seed_of_run(), get_rank(), now, term, level, user
        return keyed_generator(self.device, *key)


def blank_inputs(
    student: nn.Module,
    size: tuple[int, int],
    keywords: Sequence[str],
    like: Tensor,
    specs: Sequence[FeatureSpec],
) -> LossInputs:
    """Inputs of a loss in the dry run, for one blank image.

    Args:
        student: The stock model.
        size: Height and width of the image, in pixels.
        keywords: Keywords of the loss.
        like: A recorded tensor, for device and dtype.
        specs: Levels of the compared maps.

    Raises:
        ValueError: If the student has no such input.
    """
    inputs = LossInputs(
        read_targets=lambda: blank_targets(student, size, like),
        device=like.device,
    )
    if 'assigned' in keywords:
        head = assigning_head(student)
        inputs.strides = assigned_strides(head)
        cells = {spec.stride: spec.shape[2:] for spec in specs if spec.stride}
        # Levels of the head that the term does not compare are not read.
        grids = [cells.get(stride, (1, 1)) for stride in inputs.strides]
        inputs.assigned = blank_assignment(head, grids, like)
    return inputs
