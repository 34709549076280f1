"""The dry run: one forward pass on a blank image finds shapes and strides."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet
from mmdistill_dense.recorders.recorder import Recorder
from mmdistill_dense.recorders.recorder_set import RecorderId

from ..utils import eval_mode
from .classifiers import ClassScores, class_scores
from .geometry import (
    PROBE_SIZES,
    FeatureSpec,
    measured_spec,
    resizing_of,
)
from .inputs import input_channels
from .rois import needs_rois
from .routes import routes_of, run_route


@dataclass(frozen=True)
class DryRunResult:
    """Result of a dry run.

    Args:
        route: The shortest route on which every recorder is called.
        calls: Number of calls of each recorder on this route.
        specs: Shapes and strides of each source's levels, by its key.
        features: The tensors, to try connectors and losses.
    """

    route: str
    calls: dict[RecorderId, int]
    specs: dict[str, list[FeatureSpec]]
    features: dict[str, list[Tensor]]


def dry_run(
    model: nn.Module,
    recorders: RecorderSet,
    keys: list[str],
    size: tuple[int, int],
) -> DryRunResult:
    """Run a model on the shortest route on which every recorder is called.

    The model runs in eval mode without gradients; its parameters, statistics
    and training flags do not change. It runs once more, on an image of
    :data:`PROBE_SIZES`, to measure the strides of maps.

    Args:
        model: A stock detector or segmentor on its device.
        recorders: Its recorders.
        keys: Names of the sources to record, as given to
            ``RecorderSet.add``.
        size: Height and width of the blank image, in pixels.

    Raises:
        ValueError: If a recorded part of a RoI head cannot be compared.
        RuntimeError: If a module is never called, or the model cannot be run.
    """
    image, samples = blank_batch(model, size)
    paths = [path for key in keys for path in recorders[key].paths]
    routes = routes_of(model, needs_rois(model, paths))
    with eval_mode(model):
        for route in routes:
            with recorders.recording(keys):
                _try(route, model, image, samples)
                last = route == routes[-1]
                if last or all(_all_called(recorders, key) for key in keys):
                    features = {key: recorders[key].read() for key in keys}
                    scores = {
                        key: _scores(model, recorders[key].recorders)
                        for key in keys
                    }
                    calls = recorders.calls()
                    break
        specs = _measured_specs(route, model, recorders, calls, features, size)
    specs = {
        key: [
            replace(spec, scores=score)
            for spec, score in zip(specs[key], scores[key], strict=True)
        ]
        for key in keys
    }
    return DryRunResult(route, calls, specs, features)


def _all_called(recorders: RecorderSet, key: str) -> bool:
    return all(recorder.calls for recorder in recorders[key].recorders)


def _scores(
    model: nn.Module, recorders: Sequence[Recorder]
) -> list[ClassScores | None]:
    """What the channels of each recorded level are."""
    return [
        class_scores(model, recorder.path)
        if recorder.take == 'output'
        else None
        for recorder in recorders
        for _ in recorder.read()
    ]


def _measured_specs(
    route: str,
    model: nn.Module,
    recorders: RecorderSet,
    calls: dict[RecorderId, int],
    features: dict[str, list[Tensor]],
    size: tuple[int, int],
) -> dict[str, list[FeatureSpec]]:
    probes: dict[str, list[Tensor]] = {}
    if any(map_.ndim == 4 for maps in features.values() for map_ in maps):
        probes = _probe(route, model, recorders, calls, list(features))
    resizing = resizing_of(model)
    specs = {}
    for key, maps in features.items():
        seen: list = probes.get(key, [])
        if len(seen) != len(maps):
            seen = [None] * len(maps)
        specs[key] = [
            measured_spec(feature, probe, size, resizing)
            for feature, probe in zip(maps, seen, strict=True)
        ]
    return specs


def _probe(
    route: str,
    model: nn.Module,
    recorders: RecorderSet,
    calls: dict[RecorderId, int],
    keys: list[str],
) -> dict[str, list[Tensor]]:
    """The same tensors for another image, if the model takes it."""
    for size in PROBE_SIZES:
        image, samples = blank_batch(model, size)
        with recorders.recording(keys, calls):
            try:
                run_route(route, model, image, samples)
                return {key: recorders[key].read() for key in keys}
            except Exception:  # as of a model for one size of images
                continue
    return {}


def _try(route: str, model: nn.Module, image: Tensor, samples: list) -> None:
    try:
        run_route(route, model, image, samples)
    except Exception as error:
        height, width = image.shape[-2:]
        raise RuntimeError(
            f'the dry run of {type(model).__name__} (route {route!r}, one '
            f'blank image of {height}x{width} pixels) failed: {error}. If '
            'the model needs images of another size, give it as input_size='
            '(height, width) to DenseDistiller.'
        ) from error


def blank_batch(
    model: nn.Module, size: tuple[int, int]
) -> tuple[Tensor, list[BaseDataElement]]:
    """A blank image (1, C, H, W) in the model's dtype, and its sample."""
    channels = input_channels(model, size)
    image = next(model.parameters()).new_zeros(1, channels, *size)
    return image, [blank_sample(size)]


def blank_sample(size: tuple[int, int]) -> BaseDataElement:
    """Data sample with the metainfo of an image without padding."""
    return BaseDataElement(
        metainfo=dict(
            img_shape=size,
            ori_shape=size,
            pad_shape=size,
            batch_input_shape=size,
            scale_factor=(1.0, 1.0),
            padding_size=(0, 0, 0, 0),
            flip=False,
        )
    )
