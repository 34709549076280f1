"""What a distilled step keeps and runs beside the stock student's."""

import pytest
import torch
from mmengine.registry import MODELS

from mmdistill_tools.benchmark.meter import saved_bytes

from ..helpers.batches import detection_batch, segmentation_batch, step_losses
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet, save_weights

HOSTS = {
    mask_rcnn: ('neck', detection_batch(1, (96, 128))),
    pspnet: ('logits', segmentation_batch()),
}


@pytest.fixture(params=HOSTS, ids=lambda f: f.__name__)
def models(request, tmp_path):
    """The distilled student, the stock one, and a batch."""
    build = request.param
    at, batch = HOSTS[build]
    path = save_weights(build(), tmp_path / 'teacher.pth')
    distilled = distiller(
        build(), dict(cfg=build(), checkpoint=path), dict(kd=cwd(at))
    )
    distilled.init_weights()
    stock = MODELS.build(build())
    stock.load_state_dict(distilled.state_dict())
    step_losses(distilled, batch)  # the first one looks for mistakes
    return distilled.train(), stock.train(), batch


def run(model, batch):
    torch.manual_seed(0)
    losses = step_losses(model, batch)
    # As MMEngine does; what is not summed keeps its graph, too.
    return model.parse_losses(losses)[0], losses


def recorded_bytes(model, batch):
    """Bytes of all that the term compares of the student."""
    seen = []
    term = model.distill.terms.kd
    forward = term.loss.forward
    term.loss.forward = lambda **maps: (
        seen.append(maps['student'].nbytes) or forward(**maps)
    )
    run(model, batch)
    term.loss.forward = forward
    return sum(seen)


def test_backward_needs_one_more_map_for_each_level(models):
    distilled, stock, batch = models
    size = recorded_bytes(distilled, batch)
    added = saved_bytes(lambda: run(distilled, batch)) - saved_bytes(
        lambda: run(stock, batch)
    )
    assert size <= added <= 1.02 * size + 1024


def test_no_map_of_the_teacher_outlives_its_comparison(models):
    distilled, _, batch = models
    maps = []
    teacher = distilled.distill.teachers['teacher']
    look = teacher.forward

    def keep(*args, **kwargs):
        found = look(*args, **kwargs)
        maps.extend(torch._C._WeakTensorRef(x) for x in found['kd'])
        return found

    teacher.forward = keep
    result = run(distilled, batch)
    assert maps
    assert all(ref.expired() for ref in maps)
    del result


def test_the_teacher_runs_nothing_that_is_not_recorded(models):
    distilled, _, batch = models
    ran = set()
    model = distilled.distill.teachers['teacher'].model
    for name, module in model.named_modules():
        module.register_forward_pre_hook(
            lambda *_, name=name: ran.add(name.partition('.')[0])
        )
    run(distilled, batch)
    detects = hasattr(distilled, 'neck') and distilled.neck is not None
    assert ran == {'backbone', 'neck' if detects else 'decode_head'}
