"""Student or teacher of a draft, with the maps that can be recorded."""

import torch
from mmengine.config import Config
from torch import nn

from mmdistill_dense.models.distillers.alignment import pair_levels
from mmdistill_dense.models.hosts import (
    DryRunResult,
    FeatureSpec,
    blank_batch,
    dry_run,
    expand_alias,
    is_segmentor,
    run_route,
)
from mmdistill_dense.models.utils import build_model, eval_mode, forked_rng
from mmdistill_dense.recorders import RecorderSet

Specs = list[FeatureSpec]


class StockModel:
    """A stock model with random weights, and its config.

    Args:
        name: Name of the config, as the user gives it.
        config: The whole config, with ``model``.
        size: Height and width of the dry run's image, in pixels.
    """

    def __init__(
        self, name: str, config: Config, size: tuple[int, int]
    ) -> None:
        self.name = name
        self.config = config
        self.size = size
        with forked_rng():
            self.model: nn.Module = build_model(config)
        self._dry_runs: dict[str, DryRunResult] = {}

    def __str__(self) -> str:
        return type(self.model).__name__

    @property
    def is_segmentor(self) -> bool:
        """Whether it is a segmentor; otherwise it is a detector."""
        return is_segmentor(self.model)

    def levels(self, path: str, take: str = 'output') -> Specs:
        """Maps that ``at=dict(path=..., take=...)`` would record.

        Raises:
            ValueError: If there is no such module, or it returns no maps.
            RuntimeError: If it is never called.
        """
        key = f'{take} of {path}'
        if key not in self._dry_runs:
            recorders = self._record(key, path, take)
            self._dry_runs[key] = dry_run(
                self.model, recorders, [key], self.size
            )
        specs = self._dry_runs[key].specs[key]
        for spec in specs:
            if spec.stride is None or spec.shape[0] != 1:
                raise ValueError(
                    f'{path!r} of {self} gives {spec.shape}, no map of the '
                    'image.'
                )
        return specs

    def trained(self, path: str, take: str = 'output') -> list[bool]:
        """Whether each of these levels has a gradient.

        Frozen stages have none.
        """
        self.levels(path, take)
        key = f'{take} of {path}'
        route = self._dry_runs[key].route
        recorders = self._record(key, path, take)
        batch = blank_batch(self.model, self.size)
        with eval_mode(self.model), recorders.recording([key]):
            with torch.enable_grad():
                run_route(route, self.model, *batch)
            return [level.requires_grad for level in recorders[key].read()]

    def _record(self, key: str, path: str, take: str) -> RecorderSet:
        recorders = RecorderSet(self.model)
        where = expand_alias(path, self.model)
        recorders.add(self.model, key, where, take)
        return recorders


def describe_match(student_specs: Specs, teacher_specs: Specs) -> str:
    """Describe how the levels of two models are paired.

    Raises:
        ValueError: If they cannot be paired.
    """
    pairs = pair_levels(student_specs, teacher_specs)
    text = (
        f'{_summary(student_specs)} (student), '
        f'{_summary(teacher_specs)} (teacher)'
    )
    if any(
        student_specs[i].stride != teacher_specs[j].stride for i, j in pairs
    ):
        text += "; paired in order and resized to the teacher's grid"
    elif len(pairs) < max(len(student_specs), len(teacher_specs)):
        text += f'; the {len(pairs)} of equal stride are paired'
    if any(
        student_specs[i].channels != teacher_specs[j].channels
        for i, j in pairs
    ):
        text += '; a convolution maps the channels'
    return text


def _summary(specs: Specs) -> str:
    channels = dict.fromkeys(str(spec.channels) for spec in specs)
    strides = ', '.join(f'{spec.stride[0]:.4g}' for spec in specs)
    return f'{"/".join(channels)} channels at stride {strides}'
