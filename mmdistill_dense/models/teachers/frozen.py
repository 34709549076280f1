"""The frozen teacher, observed while it sees the student's images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet

from ..hosts import (
    InputAdapter,
    InputForm,
    Probe,
    expand_alias,
    follow,
    forked_rng,
    probe,
)
from ..hosts.regions import join
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
        **kwargs: Likewise.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.adapter: InputAdapter | None = None
        #: What each term records, in words.
        self.recorded: dict[str, str] = {}
        #: The same as names of modules.
        self.paths: dict[str, list[str]] = {}
        self._taps: dict[str, dict] = {}
        self._probe: Probe | None = None

    def attach(
        self,
        taps: Mapping[str, dict],
        student: InputForm,
        input_size: tuple[int, int],
    ) -> Probe:
        """Say what to record, and learn its shapes from a dry run.

        A model is built for it and let go again.

        Args:
            taps: What each term records: ``path``, ``take``, ``clone``.
            student: Form of the batches that will come.
            input_size: Height and width of the dry run's image, in pixels.
        """
        self._taps = dict(taps)
        with forked_rng():
            model, recorders = self._build()
            found = probe(model, recorders, list(taps), input_size)
        self.recorded = {key: str(recorders[key]) for key in taps}
        self.paths = {key: recorders[key].paths for key in taps}
        self._probe = Probe(found.route, found.calls, found.specs, {})
        self.adapter = InputAdapter(student, InputForm.of(model))
        return found

    def _hook(self, model: nn.Module) -> RecorderSet:
        recorders = RecorderSet(model)
        for key, tap in self._taps.items():
            path = expand_alias(tap['path'], model)
            recorders.add(model, key, **{**tap, 'path': path})
        return recorders

    @torch.no_grad()
    def forward(
        self,
        inputs: Tensor,
        samples: list,
        keys: Sequence[str],
        regions: Mapping[str, Tensor] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Look at the student's batch.

        Args:
            inputs: Images (N, 3, H, W) as the student gets them.
            samples: Their data samples; only metainfo is read.
            keys: Terms that want features.
            regions: Regions (R, 5) of those terms that are on a box head,
                in pixels of the batch.

        Returns:
            The levels of each term, detached; on a box head a row for each
            of the term's regions.
        """
        images = self.adapter(inputs, samples)
        # In one go: a box head looks at every region by itself.
        rois, rows = join(regions or {})
        with self._hooks.recording(keys, self._probe.calls):
            follow(self._probe.route, self.model, images, samples, rois)
            found = {key: self._hooks[key].read() for key in keys}
        for key, mine in rows.items():
            found[key] = [level[mine] for level in found[key]]
        return found

    def rehearse(self) -> tuple[nn.Module, Callable]:
        """A model of random weights, and the brief pass through it.

        For tools that look at what runs; the teacher keeps neither.

        Returns:
            The stock model, and a function of images and data samples that
            leaves where all terms have what they record.
        """
        with forked_rng():
            model, recorders = self._build()

        def run(images: Tensor, samples: list) -> None:
            with recorders.recording(self._taps, self._probe.calls):
                follow(self._probe.route, model, images, samples)

        return model, run

    @property
    def route(self) -> str:
        """Name of the route that the dry run found."""
        return self._probe.route
