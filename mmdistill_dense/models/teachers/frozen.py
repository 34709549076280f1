"""The frozen teacher, observed while it sees the student's images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts import (
    DryRun,
    InputAdapter,
    InputForm,
    blank_sample,
    dry_run,
    expand_alias,
    run_route,
)
from ..hosts.rois import concat_rois
from ..utils import forked_rng
from .speed import Speed, measure_drift
from .stock import StockTeacher


class FrozenTeacher(StockTeacher):
    """A stock model that only looks, its weights shared by all copies.

    Frozen, in eval mode (dropout and drop path too), without gradients,
    strictly loaded, shared by deep copies, absent from parameters, buckets
    and checkpoints, and brief: it runs nothing past the last module that is
    recorded. ``load`` brings the weights where training starts; before, in
    test and predict, no teacher is held in memory.

    Args:
        *args: Those of :class:`StockTeacher`.
        **kwargs: Likewise, and the switches of :class:`Speed`.
    """

    settings = StockTeacher.settings | {f.name for f in fields(Speed)}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        switches = {
            field.name: kwargs.pop(field.name)
            for field in fields(Speed)
            if field.name in kwargs
        }
        super().__init__(*args, **kwargs)
        self.speed = Speed(**switches)
        #: How far the switches have moved what is recorded.
        self.drift = 0.0
        self.adapter: InputAdapter | None = None
        #: What each term records, in words.
        self.recorded: dict[str, str] = {}
        #: The same as names of modules.
        self.paths: dict[str, list[str]] = {}
        self._taps: dict[str, dict] = {}
        self._dry_run: DryRun | None = None
        self._input_size = (0, 0)
        #: What was recorded before the switches were on.
        self._reference: dict[str, list[Tensor]] = {}

    def attach(
        self,
        taps: Mapping[str, dict],
        student: InputForm,
        input_size: tuple[int, int],
    ) -> DryRun:
        """Say what to record, and learn its shapes from a dry run.

        A model is built for it and let go again.

        Args:
            taps: What each term records: ``path``, ``take``, ``clone``.
            student: Form of the batches that will come.
            input_size: Height and width of the dry run's image, in pixels.
        """
        self._taps, self._input_size = dict(taps), input_size
        with forked_rng():
            model, recorders = self._build()
            found = dry_run(model, recorders, list(taps), input_size)
        self.recorded = {key: str(recorders[key]) for key in taps}
        self.paths = {key: recorders[key].paths for key in taps}
        self._dry_run = DryRun(found.route, found.calls, found.specs, {})
        self.adapter = InputAdapter(student, InputForm.of(model))
        return found

    def _add_hooks(self, model: nn.Module) -> RecorderSet:
        recorders = RecorderSet(model)
        for key, tap in self._taps.items():
            path = expand_alias(tap['path'], model)
            recorders.add(model, key, **{**tap, 'path': path})
        return recorders

    def load(self, like: Tensor) -> None:
        """As :meth:`StockTeacher.load`, then with the switches on.

        Raises:
            RuntimeError: If the switches break it.
        """
        super().load(like)
        self.speed.cast(self.model)
        trial = partial(self._record_noise, self.model, like, self.speed)
        if self._reference:
            self.drift = self._drift_of(trial)
        self.speed.compile_parts(self.model, trial)

    def _drift_of(self, trial: Callable) -> float:
        before, self._reference = self._reference, {}
        try:
            after = trial()
        except RuntimeError as error:
            raise RuntimeError(
                f'teacher {self.name!r} does not run with {self.speed}: '
                f'{error}. Take a switch out of teacher; some ops of mmcv '
                'know no low precision.'
            ) from error
        return measure_drift(before, after, self.speed)

    def _adapt(self, model: nn.Module) -> None:
        if self.speed.changes_model:
            first = next(model.parameters())
            trial = partial(self._record_noise, model.eval(), first, Speed())
            self._reference = trial()
            self.speed.prepare(model, trial)

    def _record_noise(
        self, model: nn.Module, like: Tensor, speed: Speed
    ) -> dict[str, list[Tensor]]:
        """What all terms record of an image of noise, always the same."""
        size = self._input_size
        noise = torch.randn(
            1, 3, *size, generator=torch.Generator().manual_seed(0)
        )
        batch = noise.to(like), [blank_sample(size)]
        return self._record(model, *batch, list(self._taps), None, speed)

    @torch.no_grad()
    def _record(
        self,
        model: nn.Module,
        images: Tensor,
        samples: list,
        keys: Sequence[str],
        rois: Tensor | None,
        speed: Speed,
    ) -> dict[str, list[Tensor]]:
        """One brief pass through a model that carries our recorders."""
        with (
            speed.autocast(images.device),
            self._hooks.recording(keys, self._dry_run.calls),
        ):
            route = self._dry_run.route
            run_route(route, model, speed.format_images(images), samples, rois)
            return {key: self._hooks[key].read() for key in keys}

    @torch.no_grad()
    def forward(
        self,
        inputs: Tensor,
        samples: list,
        keys: Sequence[str],
        rois: Mapping[str, Tensor] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Look at the student's batch.

        Args:
            inputs: Images (N, 3, H, W) as the student gets them.
            samples: Their data samples; only metainfo is read.
            keys: Terms that want features.
            rois: RoIs (R, 5) of those terms that are on a box head,
                in pixels of the batch.

        Returns:
            The levels of each term, detached; on a box head a row for each
            of the term's RoIs.
        """
        # In one go: a box head looks at every RoI by itself.
        all_rois, rows = concat_rois(rois or {})
        with self.speed.side_stream(inputs):
            images = self.adapter(inputs, samples)
            found = self._record(
                self.model, images, samples, keys, all_rois, self.speed
            )
            for key, mine in rows.items():
                found[key] = [level[mine] for level in found[key]]
        return found

    def wait_for(self, features: Sequence[Tensor]) -> None:
        """Wait for features of ``forward`` that another stream makes."""
        self.speed.wait_for(features)

    def build_dry_run(self) -> tuple[nn.Module, Callable]:
        """A model of random weights, and the brief pass through it.

        For tools that look at what runs; the teacher keeps neither.

        Returns:
            The stock model, and a function of images and data samples that
            leaves where all terms have what they record.
        """
        with forked_rng():
            model, recorders = self._build()

        def run(images: Tensor, samples: list) -> None:
            with recorders.recording(self._taps, self._dry_run.calls):
                run_route(self._dry_run.route, model, images, samples)

        return model, run

    @property
    def route(self) -> str:
        """Name of the route that the dry run found."""
        return self._dry_run.route
