"""Routes through a stock model, from the shortest to the longest.

A route runs a part of a model. No route computes a task loss, and
``run_route`` stops once every recorder has got its expected number of calls.
"""

from collections.abc import Callable

from torch import Tensor, nn

from mmdistill_dense.recorders import StopForward

from .kinds import is_segmentor
from .rois import run_box_heads, whole_image_rois


def _run_features(model: nn.Module, inputs: Tensor, samples: list) -> None:
    """Backbone and neck, of any mmdet and mmseg model."""
    model.extract_feat(inputs)


def _run_decode(model: nn.Module, inputs: Tensor, samples: list) -> None:
    """A segmentor up to its logits."""
    _decode_heads(model, model.extract_feat(inputs), samples)


def _run_auxiliary(model: nn.Module, inputs: Tensor, samples: list) -> None:
    """A segmentor with its auxiliary heads, which inference skips."""
    maps = model.extract_feat(inputs)
    for head in _heads(model, 'auxiliary_head'):
        head.forward(maps)
    _decode_heads(model, maps, samples)


def _run_tensor(model: nn.Module, inputs: Tensor, samples: list) -> None:
    """A detector with its heads, as in ``mode='tensor'``."""
    model(inputs, samples, mode='tensor')


def _run_rois(model: nn.Module, inputs: Tensor, rois: Tensor) -> None:
    """A two-stage detector on given RoIs, without proposals."""
    run_box_heads(model, model.extract_feat(inputs), rois)


def _run_rpn_rois(model: nn.Module, inputs: Tensor, rois: Tensor) -> None:
    """A two-stage detector on given RoIs, and its RPN head.

    The RPN head makes no proposals.
    """
    maps = model.extract_feat(inputs)
    model.rpn_head(maps)
    run_box_heads(model, maps, rois)


_ROUTES: dict[str, Callable] = dict(
    features=_run_features,
    decode=_run_decode,
    auxiliary=_run_auxiliary,
    tensor=_run_tensor,
)
#: Routes that run box heads on given RoIs.
ROI_ROUTES: dict[str, Callable] = dict(rois=_run_rois, rpn_rois=_run_rpn_rois)


def routes_of(model: nn.Module, per_roi: bool = False) -> list[str]:
    """Names of the routes to try on a model, the shortest first.

    Args:
        model: A stock detector or segmentor.
        per_roi: Whether a box head is recorded.
    """
    if per_roi:
        rpn = hasattr(model, 'rpn_head')
        return ['rois', 'rpn_rois'] if rpn else ['rois']
    if is_segmentor(model):
        return ['features', 'decode', 'auxiliary']
    return ['features', 'tensor']


#: Top-level modules that run in training only.
TRAINING_ONLY = ('auxiliary_head',)


def inference_route(model: nn.Module) -> str:
    """Name of the route that runs the modules of a prediction."""
    return 'decode' if is_segmentor(model) else 'tensor'


def run_route(
    route: str,
    model: nn.Module,
    inputs: Tensor,
    samples: list,
    rois: Tensor | None = None,
) -> None:
    """Run one route, up to the last expected call of a recorder.

    Args:
        route: A name from :func:`routes_of`.
        model: A stock detector or segmentor.
        inputs: Images of shape (N, C, H, W), normalised.
        samples: One data sample per image; its metainfo is read.
        rois: RoIs (R, 5) for the box head, on routes that run it; default:
            one per image, which covers the image.
    """
    try:
        if route in ROI_ROUTES:
            rois = whole_image_rois(inputs) if rois is None else rois
            ROI_ROUTES[route](model, inputs, rois)
        else:
            _ROUTES[route](model, inputs, samples)
    except StopForward:
        return


def _heads(model: nn.Module, name: str) -> list[nn.Module]:
    head = getattr(model, name, None)
    if head is None:
        return []
    return list(head) if isinstance(head, nn.ModuleList) else [head]


def _decode_heads(model: nn.Module, maps: object, samples: list) -> None:
    """Run the decode head, or a cascade of them as in mmseg."""
    metas = [sample.metainfo for sample in samples]
    *early, last = _heads(model, 'decode_head')
    previous: list = []
    for head in early:
        previous = [head.forward(maps, *previous)]
    last.predict(maps, *previous, metas, model.test_cfg)
