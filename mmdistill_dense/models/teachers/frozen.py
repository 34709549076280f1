"""The frozen teacher, whose features on the student's images are recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts import (
    DryRunResult,
    FeatureSpec,
    InputAdapter,
    InputForm,
    InputResizing,
    dry_run,
    expand_alias,
    input_channels,
    run_route,
)
from ..hosts.geometry import resizing_of
from ..hosts.rois import concat_rois
from ..utils import forked_rng
from .speed import SpeedSwitches, measure_drift
from .stock import StockTeacher
from .through import ThroughTeacher


class FrozenTeacher(ThroughTeacher):
    """A frozen stock model whose features are recorded.

    It is in eval mode, so dropout and drop path are off. It has no gradients,
    is loaded strictly (except keys in ``allow``), shares its tensors with deep
    copies, and is absent from the student's parameters, gradient buckets and
    checkpoints. A forward pass stops after the last recorded module. ``load``
    loads the weights when training starts. Until then, and in test and
    predict, no teacher is in memory.

    Args:
        *args: Arguments of :class:`StockTeacher`.
        **kwargs: Likewise, and the switches of :class:`SpeedSwitches`.
    """

    #: What the model does to the size of images.
    resizing = InputResizing()
    switch_names = frozenset(field.name for field in fields(SpeedSwitches))
    settings = StockTeacher.settings | switch_names

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        switches = {
            name: kwargs.pop(name)
            for name in self.switch_names
            if name in kwargs
        }
        super().__init__(*args, **kwargs)
        self.switches = SpeedSwitches(**switches)
        #: Largest relative change of the features by the switches.
        self.drift = 0.0
        self.input_adapter: InputAdapter | None = None
        #: What each term records, for messages.
        self.recorded: dict[str, str] = {}
        #: Names of the modules that each term records.
        self.paths: dict[str, list[str]] = {}
        self._record_cfgs: dict[str, dict] = {}
        #: Levels of what the modules of ``through`` take, by term.
        self.through_specs: dict[str, list[FeatureSpec]] = {}
        self._dry_run_result: DryRunResult | None = None
        self._input_size = (0, 0)
        self._features_without_switches: dict[str, list[Tensor]] = {}

    def configure(
        self,
        record_cfgs: Mapping[str, dict],
        student_input_form: InputForm,
        input_size: tuple[int, int],
        through: Mapping[str, Sequence[str]] | None = None,
    ) -> DryRunResult:
        """Set what to record, and find its shapes in a dry run.

        The model of the dry run is deleted afterwards.

        Args:
            record_cfgs: Recording settings by term: ``path``, ``take``,
                ``clone``.
            student_input_form: Normalisation, channel order and padding of
                the student's batches.
            input_size: Height and width of the dry run's image, in pixels.
            through: Modules that a student's map runs through, by term.
        """
        self._record_cfgs, self._input_size = dict(record_cfgs), input_size
        with forked_rng():
            model, recorders = self._build()
            result = dry_run(model, recorders, list(record_cfgs), input_size)
        self.recorded = {key: str(recorders[key]) for key in record_cfgs}
        self.paths = {key: recorders[key].paths for key in record_cfgs}
        # Without the tensors, which would stay in memory.
        self._dry_run_result = replace(result, features={})
        self.resizing = resizing_of(model)
        self.input_adapter = self._make_adapter(student_input_form, model)
        self.through_specs = self.set_chains(
            model, recorders, through or {}, result.specs
        )
        return result

    def _make_adapter(
        self, student: InputForm, model: nn.Module
    ) -> InputAdapter:
        """Conversion of the student's images to the form of a model."""
        channels = input_channels(model, self._input_size)
        return InputAdapter(student, InputForm.of(model, channels))

    def _add_hooks(self, model: nn.Module) -> RecorderSet:
        recorders = RecorderSet(model)
        for key, record_cfg in self._record_cfgs.items():
            path = expand_alias(record_cfg['path'], model)
            recorders.add(model, key, **{**record_cfg, 'path': path})
        return recorders

    def load(self, like: Tensor) -> None:
        """Load as :meth:`StockTeacher.load`, and apply the speed switches.

        Also measures how much the switches change the features.

        Raises:
            RuntimeError: If the teacher does not run with the switches.
        """
        super().load(like)
        self.switches.cast(self.model)
        noise_features = partial(
            self._features_of_noise_image, self.model, like, self.switches
        )
        if self._features_without_switches:
            self.drift = self._drift_of(noise_features)
        self.switches.compile_parts(self.model, noise_features)

    def _drift_of(self, noise_features: Callable) -> float:
        before = self._features_without_switches
        self._features_without_switches = {}
        try:
            after = noise_features()
        except RuntimeError as error:
            raise RuntimeError(
                f'teacher {self.name!r} does not run with {self.switches}: '
                f'{error}. Remove a switch from teacher; some ops of mmcv '
                'do not support low precision.'
            ) from error
        return measure_drift(before, after, self.switches)

    def _modify_model(self, model: nn.Module) -> None:
        super()._modify_model(model)
        if self.switches.changes_model:
            first = next(model.parameters())
            noise_features = partial(
                self._features_of_noise_image,
                model.eval(),
                first,
                SpeedSwitches(),
            )
            self._features_without_switches = noise_features()
            self.switches.prepare(model, noise_features)

    @torch.no_grad()
    def _record(
        self,
        model: nn.Module,
        images: Tensor,
        samples: list,
        keys: Sequence[str],
        rois: Tensor | None,
        switches: SpeedSwitches,
    ) -> dict[str, list[Tensor]]:
        """Features of one pass, which stops after the last recorder."""
        with (
            switches.autocast(images.device),
            self._hooks.recording(keys, self._dry_run_result.calls),
        ):
            route = self._dry_run_result.route
            run_route(
                route, model, switches.format_images(images), samples, rois
            )
            return {key: self._hooks[key].read() for key in keys}

    @torch.no_grad()
    def forward(
        self,
        inputs: Tensor,
        samples: list,
        keys: Sequence[str],
        rois: Mapping[str, Tensor] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Record the features of the student's batch.

        Args:
            inputs: Images (N, C, H, W) as the student gets them.
            samples: Their data samples; only metainfo is read.
            keys: Terms whose features are recorded.
            rois: RoIs (R, 5) of the terms on a box head, in pixels of the
                batch.

        Returns:
            The levels of each term, detached; for a term on a box head one
            row per RoI of the term.
        """
        # The RoIs of all terms form one batch. This does not change results:
        # a box head processes each RoI independently.
        all_rois, rows = concat_rois(rois or {})
        with self.switches.side_stream(inputs):
            images = self.input_adapter(inputs, samples)
            features = self._record(
                self.model, images, samples, keys, all_rois, self.switches
            )
            for key, own in rows.items():
                features[key] = [level[own] for level in features[key]]
        return features

    def wait_for(self, features: Sequence[Tensor]) -> None:
        """Wait for features that ``forward`` computes on another stream."""
        self.switches.wait_for(features)

    def build_model_and_run(self) -> tuple[nn.Module, Callable]:
        """A model with random weights, and a function that runs it.

        The function takes images and data samples, and stops after the last
        recorded module. For inspection; neither is stored in the teacher.
        """
        with forked_rng():
            model, recorders = self._build()

        def run(images: Tensor, samples: list) -> None:
            with recorders.recording(
                self._record_cfgs, self._dry_run_result.calls
            ):
                run_route(self._dry_run_result.route, model, images, samples)

        return model, run

    @property
    def route(self) -> str:
        """Name of the route of the dry run."""
        return self._dry_run_result.route
