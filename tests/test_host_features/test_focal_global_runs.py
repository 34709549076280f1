"""Runs with FGD: steps, bit-equality at weight 0, precision, export."""

import pytest
import torch
from mmengine.registry import MODELS

from mmdistill_dense.models.utils import plain_state

from ..helpers.batches import detection_batch, step_losses, total
from ..helpers.models import distiller, mask_rcnn, save_weights
from ..helpers.runs import (
    AtStart,
    KeepLosses,
    differing,
    distilled,
    runner,
    snapshot,
    student_part,
)
from ..test_models import zoo

STEPS = 3


def term(weight=1.0):
    """FGD on four levels, strong enough to be seen in a few steps."""
    loss = dict(type='mmdistill_dense.FocalGlobalLoss', loss_weight=weight)
    return dict(kd=dict(at='neck.fpn_convs.{0..3}.conv', loss=loss))


def train(model, data, folder):
    kept, start = KeepLosses(), AtStart()
    run = runner(model, data, folder, iters=STEPS, hooks=[kept, start])
    run.train()
    return snapshot(run.model), start.state, kept.steps


@pytest.fixture(scope='module')
def trained(data, det_teacher, tmp_path_factory):
    model = distilled(mask_rcnn(), det_teacher, term(weight=10.0))
    return train(model, data, tmp_path_factory.mktemp('trained'))


def test_a_run_trains_connectors_and_both_blocks(trained):
    state, start, steps = trained
    assert all(step['loss_kd'] > 0 for step in steps)
    own = [k for k in state if k.startswith('distill.')]
    prefix = 'distill.terms.kd.loss'
    for name in (
        *('distill.terms.kd.connectors.0', f'{prefix}.student_blocks.3.fc2'),
        f'{prefix}.teacher_blocks.3.fc2',
        # Moves from the second step on.
        *(f'{prefix}.student_blocks.0.key', f'{prefix}.teacher_blocks.0.fc1'),
    ):
        keys = [k for k in own if k.startswith(name)]
        assert keys, name
        assert not any(torch.equal(state[k], start[k]) for k in keys), name


def test_what_is_exported_is_the_plain_student(trained):
    state = trained[0]
    exported = plain_state(state)
    assert not differing(exported, student_part(state))
    student = MODELS.build(mask_rcnn())
    student.load_state_dict(exported, strict=True)


def test_with_a_weight_of_zero_a_run_is_the_stock_run(
    trained, data, det_teacher, tmp_path
):
    student = mask_rcnn()
    still = distilled(student, det_teacher, term(weight=0.0))
    found, _, _ = train(still, data, tmp_path / 'still')
    stock, _, _ = train(student, data, tmp_path / 'stock')
    assert not differing(stock, student_part(found))
    assert differing(stock, student_part(trained[0]))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_a_step_under_autocast(dtype, tmp_path):
    # On a CPU there is no NMS in half precision.
    cfg = zoo.retinanet()
    teacher = dict(cfg=cfg, checkpoint=save_weights(cfg, tmp_path / 't.pth'))
    model = distiller(zoo.retinanet(), teacher, term())
    model.init_weights()
    for block in model.distill.terms['kd'].loss.modules():
        if hasattr(block, 'fc2'):
            torch.nn.init.normal_(block.fc2.weight, std=0.1)
    batch = detection_batch(2, (96, 128))
    expected = step_losses(model, batch)['loss_kd']
    with torch.autocast('cpu', dtype=dtype):
        losses = step_losses(model, batch)
        loss = total(model, losses)
    loss.backward()
    assert losses['loss_kd'].dtype == torch.float32
    assert losses['loss_kd'].item() == pytest.approx(expected.item(), rel=0.02)
    for name, parameter in model.distill.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
