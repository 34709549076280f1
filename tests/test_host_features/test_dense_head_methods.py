"""LD and CrossKD on small stock detectors, with their presets."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS

from mmdistill_dense.models.utils import plain_state

from ..helpers.batches import detection_batch, step_losses, total
from ..helpers.configs import preset
from ..helpers.models import distiller, save_weights
from ..helpers.runs import differing, snapshot, student_part
from ..test_models import zoo

#: Student and terms by preset.
METHODS = dict(
    ld=zoo.gfl, crosskd_gfl=zoo.gfl, crosskd_retinanet=zoo.retinanet
)


@pytest.fixture(scope='module')
def teachers(tmp_path_factory):
    folder = tmp_path_factory.mktemp('teachers')
    return {
        build: dict(
            cfg=build(),
            checkpoint=save_weights(
                build(), folder / f'{build.__name__}.pth', head=10
            ),
        )
        for build in (zoo.gfl, zoo.retinanet)
    }


def terms_of(name, **loss):
    terms = preset(name).to_dict()
    for term in terms.values():
        term['loss'].update(loss)
    return terms


def built(name, teachers, **loss):
    build = METHODS[name]
    torch.manual_seed(5)
    model = distiller(build(), teachers[build], terms_of(name, **loss))
    torch.manual_seed(5)
    model.init_weights()
    return model.train()


def trained(model, steps=3):
    """State after some steps, and the losses of the last one."""
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 0.01))
    for seed in range(steps):
        logged = model.train_step(
            detection_batch(2, (96, 128), seed=seed), optimizer
        )
    return snapshot(model), logged


def stock(build):
    torch.manual_seed(5)
    model = MODELS.build(ConfigDict(deepcopy(build())))
    torch.manual_seed(5)
    model.init_weights()
    return model.train()


@pytest.mark.parametrize('name', METHODS)
def test_it_trains_the_student_and_leaves_the_plain_model(name, teachers):
    model = built(name, teachers)
    teacher = model.distill.teachers['teacher'].model
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    state, logged = trained(model)
    for term in model.distill.terms:
        assert logged[f'loss_{term}'] > 0
    assert not differing(before, teacher.state_dict())
    expected, _ = trained(stock(METHODS[name]))
    assert plain_state(state).keys() == expected.keys()
    assert differing(expected, plain_state(state))


@pytest.mark.parametrize('name', METHODS)
def test_with_weights_of_zero_it_is_the_stock_model(name, teachers):
    state, _ = trained(built(name, teachers, loss_weight=0.0))
    expected, _ = trained(stock(METHODS[name]))
    assert not differing(expected, student_part(state))


@pytest.mark.parametrize('name', METHODS)
def test_images_without_any_object(name, teachers):
    model = built(name, teachers)
    batch = detection_batch(2, (96, 128))
    for sample in batch['data_samples']:
        sample.gt_instances = sample.gt_instances[:0]
    losses = step_losses(model, batch)
    total(model, losses).backward()
    for term in model.distill.terms:
        value = losses[f'loss_{term}'].item()
        assert value == 0 if name == 'ld' else value > 0
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


@pytest.mark.parametrize('name', METHODS)
def test_under_autocast_it_follows_float32(name, teachers):
    model = built(name, teachers)
    batch = detection_batch(2, (96, 128))
    expected = step_losses(model, deepcopy(batch))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = step_losses(model, deepcopy(batch))
        loss = total(model, found)
    loss.backward()
    for term in model.distill.terms:
        value = found[f'loss_{term}']
        assert value.dtype == torch.float32
        reference = expected[f'loss_{term}'].item()
        assert value.item() == pytest.approx(reference, rel=0.25)
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


@pytest.mark.parametrize('name', METHODS)
def test_a_wider_teacher_is_met_by_a_connector(name, teachers, tmp_path):
    build = METHODS[name]
    wide = {'bbox_head.feat_channels': 384}
    cfg = build(**wide)
    path = save_weights(cfg, tmp_path / 'wide.pth', head=10)
    model = distiller(build(), dict(cfg=cfg, checkpoint=path), terms_of(name))
    model.init_weights()
    losses = step_losses(model, detection_batch(2, (96, 128)))
    total(model, losses).backward()
    parameters = list(model.distill.parameters())
    # One 1x1 convolution for each level of each term.
    assert len(parameters) == (0 if name == 'ld' else 10)
    assert all(p.grad.abs().max() > 0 for p in parameters)
