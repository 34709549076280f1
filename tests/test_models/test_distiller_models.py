"""A distilled model is its stock student, for every kind of model."""

import pickle
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS

from mmdistill_dense.models.distillers import DenseDistiller

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from . import zoo

#: Stock model, what is distilled, and options that make a teacher wider.
CASES = {
    'MaskRCNN': (mask_rcnn, 'neck', {}),
    'RetinaNet': (zoo.retinanet, 'bbox_head.cls_convs.{0,3}', {}),
    'FCOS': (zoo.fcos, 'neck', {}),
    'DeformableDETR': (zoo.deformable_detr, 'neck', {}),
    'PSPNet': (pspnet, 'backbone', dict(depth=50)),
    'DeepLabV3': (zoo.deeplab, 'logits', {}),
}


@pytest.fixture(scope='module', params=CASES)
def case(request, teacher_of):
    build, at, wider = CASES[request.param]
    torch.manual_seed(0)
    model = distiller(build(), teacher_of(build, **wider), dict(kd=cwd(at)))
    model.init_weights()  # DETR's level_embed is empty memory before
    stock = MODELS.build(build())
    stock.load_state_dict(model.state_dict(), strict=False)
    segmentor = 'decode_head' in build()
    return SimpleNamespace(
        model=model,
        stock=stock,
        batch=(
            segmentation_batch() if segmentor else detection_batch(1, (64, 64))
        ),
    )


def losses_of(model, batch):
    torch.manual_seed(5)
    return step_losses(deepcopy(model), deepcopy(batch))


def test_it_is_an_instance_of_the_stock_class(case):
    assert isinstance(case.model, type(case.stock))
    assert isinstance(case.model, DenseDistiller)
    assert type(case.model).__name__ == f'Distilled{type(case.stock).__name__}'
    children = dict(case.stock.named_children()).keys()
    assert dict(case.model.named_children()).keys() - children == {'distill'}


def test_the_students_losses_and_their_names_are_untouched(case):
    stock = losses_of(case.stock, case.batch)
    losses = losses_of(case.model, case.batch)
    assert losses.keys() - stock.keys() == {'loss_kd'}
    assert stock.keys() <= losses.keys()
    for key, value in stock.items():
        first, second = (
            torch.stack(v) if isinstance(v, list) else v
            for v in (value, losses[key])
        )
        assert torch.equal(first, second), key


def test_the_new_loss_is_summed_and_trains_the_backbone(case):
    model = deepcopy(case.model)
    losses = step_losses(model, deepcopy(case.batch))
    assert losses['loss_kd'].shape == ()
    assert losses['loss_kd'] > 0
    summed, logged = model.parse_losses(losses)
    alone = {k: v for k, v in losses.items() if k != 'loss_kd'}
    difference = summed - total(model, alone)
    assert difference.item() == pytest.approx(
        losses['loss_kd'].item(), rel=1e-3, abs=1e-4
    )
    assert 'loss_kd' in logged
    losses['loss_kd'].backward()
    gradients = [p.grad for p in model.backbone.layer4.parameters()]
    assert max(g.abs().max() for g in gradients if g is not None) > 0


def test_the_state_dict_is_the_stock_one_and_connectors(case):
    stock = case.stock.state_dict().keys()
    distilled = case.model.state_dict().keys()
    assert stock <= distilled
    assert all(k.startswith('distill.terms.kd.') for k in distilled - stock)


def test_a_stock_model_loads_it_with_only_distill_keys_unexpected(case):
    stock = deepcopy(case.stock)
    missing, unexpected = stock.load_state_dict(
        case.model.state_dict(), strict=False
    )
    assert not missing
    assert all(key.startswith('distill.') for key in unexpected)
    # And the other way round, as load_from does.
    missing, unexpected = deepcopy(case.model).load_state_dict(
        case.stock.state_dict(), strict=False
    )
    assert all(key.startswith('distill.') for key in missing)
    assert not unexpected


def test_strict_loading_works(case):
    copy = deepcopy(case.model)
    for parameter in copy.parameters():
        parameter.data.zero_()
    copy.load_state_dict(case.model.state_dict(), strict=True)
    for key, value in case.model.state_dict().items():
        assert torch.equal(copy.state_dict()[key], value), key


def test_a_deep_copy_records_into_itself(case):
    copy = deepcopy(case.model)
    assert type(copy) is type(case.model)
    with torch.no_grad():
        for parameter in copy.backbone.parameters():
            parameter.mul_(1.5)
    first = losses_of(case.model, case.batch)['loss_kd']
    second = losses_of(copy, case.batch)['loss_kd']
    assert not torch.equal(first, second)
    assert torch.equal(first, losses_of(case.model, case.batch)['loss_kd'])
    assert torch.equal(second, losses_of(copy, case.batch)['loss_kd'])


def test_pickled_it_is_the_same(case):
    copy = pickle.loads(pickle.dumps(case.model))
    assert type(copy) is type(case.model)
    expected = losses_of(case.model, case.batch)
    assert torch.equal(
        losses_of(copy, case.batch)['loss_kd'], expected['loss_kd']
    )


def test_predictions_are_the_stock_models(case):
    def predict(model):
        data = model.data_preprocessor(deepcopy(case.batch), False)
        with torch.no_grad():
            return deepcopy(model).eval()(**data, mode='tensor')

    expected, actual = predict(case.stock), predict(case.model)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
