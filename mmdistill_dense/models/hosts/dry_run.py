"""The dry run: one forward pass on a blank image finds shapes and strides."""

from dataclasses import dataclass

from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdistill_dense.recorders import RecorderSet
from mmdistill_dense.recorders.recorder import Recorder
from mmdistill_dense.recorders.recorder_set import RecorderId

from ..utils import eval_mode
from .classifiers import ClassScores, class_scores
from .inputs import input_channels
from .rois import needs_rois
from .routes import routes_of, run_route


@dataclass(frozen=True)
class FeatureSpec:
    """Shape and stride of a recorded tensor.

    Args:
        shape: Shape in the dry run: of one image, or of one RoI for a box
            head.
        stride: Input pixels per cell, vertically and horizontally; ``None``
            for tensors other than maps.
        scores: What the channels are, in the output of a classifier.
    """

    shape: tuple[int, ...]
    stride: tuple[float, float] | None
    scores: ClassScores | None = None

    @property
    def channels(self) -> int:
        """Size of dimension 1; of dimension 0 for a 1-D tensor."""
        return self.shape[1] if len(self.shape) > 1 else self.shape[0]

    def __str__(self) -> str:
        if self.stride is None:
            return 'x'.join(map(str, self.shape))
        vertical, horizontal = (f'{s:g}' for s in self.stride)
        same = vertical == horizontal
        stride = vertical if same else f'{vertical}x{horizontal}'
        return f'{self.channels} channels at stride {stride}'


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
    and training flags do not change.

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
                    return _result(route, model, recorders, keys, size)
    raise AssertionError('a model has at least one route')


def _all_called(recorders: RecorderSet, key: str) -> bool:
    return all(recorder.calls for recorder in recorders[key].recorders)


def _result(
    route: str,
    model: nn.Module,
    recorders: RecorderSet,
    keys: list[str],
    size: tuple[int, int],
) -> DryRunResult:
    features = {key: recorders[key].read() for key in keys}
    specs = {
        key: [
            spec_of(feature, size, _scores(model, recorder))
            for recorder in recorders[key].recorders
            for feature in recorder.read()
        ]
        for key in keys
    }
    return DryRunResult(route, recorders.calls(), specs, features)


def _scores(model: nn.Module, recorder: Recorder) -> ClassScores | None:
    if recorder.take == 'input':
        return None
    return class_scores(model, recorder.path)


def spec_of(
    feature: Tensor,
    size: tuple[int, int],
    scores: ClassScores | None = None,
) -> FeatureSpec:
    """Shape and stride of a tensor from an image of ``size`` (H, W)."""
    shape = tuple(feature.shape)
    if len(shape) != 4:
        return FeatureSpec(shape, None, scores)
    stride = size[0] / shape[2], size[1] / shape[3]
    return FeatureSpec(shape, stride, scores)


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
