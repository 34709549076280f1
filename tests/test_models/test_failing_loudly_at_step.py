"""What only training shows is refused in its first step."""

from copy import deepcopy

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
)
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from . import zoo

SIZE = dict(input_size=(64, 64))
SEG = segmentation_batch()
DET = detection_batch(1, (64, 64))


@pytest.fixture(scope='module')
def built(seg_teacher):
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    model.init_weights()
    return model


@pytest.fixture
def model(built):
    return deepcopy(built)


def test_a_module_that_is_replaced_after_building(seg_teacher):
    # As a conversion of normalisation layers does.
    at = 'backbone.layer3'
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd(at)))
    model.backbone.layer3 = nn.Sequential(*model.backbone.layer3)
    with pytest.raises(
        RuntimeError,
        match=r"term 'kd', student: .*'backbone\.layer3' recorded nothing",
    ):
        step_losses(model, SEG)


def test_a_module_that_training_calls_more_often(teacher_of):
    # A cascade of decode heads runs its first head twice for its losses.
    at = cwd('decode_head.0.conv_seg')
    teacher = teacher_of(zoo.point_rend)
    model = distiller(zoo.point_rend(), teacher, dict(kd=at))
    with pytest.raises(
        RuntimeError,
        match=r"term 'kd': the dry run recorded 1 student and 1 teacher "
        r'tensors, '
        'this step recorded 2 and 1',
    ):
        step_losses(model, SEG)


def test_a_frozen_stage(teacher_of):
    # The first stage of a stock Mask R-CNN is frozen.
    terms = dict(kd=cwd('backbone'))
    model = distiller(mask_rcnn(), teacher_of(mask_rcnn), terms)
    with pytest.raises(
        RuntimeError,
        match=r"term 'kd': student feature 0 of \['backbone'\] has no "
        'gradient, .*frozen_stages.*level_weights entry of 0',
    ):
        step_losses(model, DET)


def test_a_frozen_stage_may_be_left_out(teacher_of):
    terms = dict(kd=cwd('backbone', level_weights=[0, 1, 1, 1]))
    model = distiller(mask_rcnn(), teacher_of(mask_rcnn), terms)
    losses = step_losses(model, DET)
    losses['loss_kd'].backward()
    assert model.backbone.layer4[0].conv1.weight.grad.abs().max() > 0


class UnderNoGrad(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        with torch.no_grad():
            return self.inner(x)


def test_a_module_under_no_grad(model):
    model.backbone.layer3 = UnderNoGrad(model.backbone.layer3)
    with pytest.raises(
        RuntimeError, match=r'student feature 2 of .* under no_grad'
    ):
        step_losses(model, SEG)


def test_a_feature_that_a_later_module_changes_in_place(model):
    # Only in training: the dry run has not seen it.
    model.neck = Doubled()
    with pytest.raises(
        RuntimeError,
        match=r"term 'kd', student: .*'backbone' was changed in place",
    ):
        step_losses(model, SEG)


class Doubled(nn.Module):
    def forward(self, maps):
        return tuple(m.mul_(2) for m in maps)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_student_feature_that_is_not_finite(model, value):
    with torch.no_grad():
        model.backbone.layer4[1].bn2.bias[0] = value
    with pytest.raises(
        RuntimeError,
        match=r"term 'kd': student_feature 3 contains inf or NaN "
        r'\(2, 64, 8, 8\) in its first step. Usual cause',
    ):
        step_losses(model, SEG)


def test_a_teacher_feature_that_is_not_finite(tmp_path, seg_teacher):
    content = torch.load(seg_teacher['checkpoint'])
    content['state_dict']['backbone.layer2.0.bn1.bias'][:] = torch.nan
    path = str(tmp_path / 'nan.pth')
    torch.save(content, path)
    model = distiller(
        pspnet(), dict(seg_teacher, checkpoint=path), dict(kd=cwd('backbone'))
    )
    with pytest.raises(RuntimeError, match='teacher_feature 1 contains inf '):
        step_losses(model, SEG)


def test_a_loss_that_is_not_finite(model):
    with torch.no_grad():
        model.distill.terms.kd.connectors[0].block.conv.weight[:] = torch.nan
    with pytest.raises(RuntimeError, match="term 'kd': loss 0 contains inf"):
        step_losses(model, SEG)


@pytest.mark.parametrize(
    ('inputs', 'got'),
    [([torch.zeros(3, 8, 8)], 'list'), (torch.zeros(3, 8, 8), r'\(3, 8, 8\)')],
)
def test_a_batch_that_is_no_tensor_of_images(model, inputs, got):
    with pytest.raises(
        TypeError,
        match=rf'expected images of shape \(N, C, H, W\) .* got {got}',
    ):
        model.loss(inputs, [])


class OneMore(nn.Module):
    """Mixed into a detector: a loss that no module announces."""

    def loss(self, *args, **kwargs):
        losses = super().loss(*args, **kwargs)
        return {**losses, 'loss_more': losses['loss_mask']}


def test_a_name_that_the_student_turns_out_to_use(teacher_of):
    stock = MODELS.build(mask_rcnn())
    stock.__class__ = type('Own', (OneMore, type(stock)), {})
    model = MODELS.build(
        dict(
            type='mmdistill_dense.DenseDistiller',
            student=stock,
            teacher=teacher_of(mask_rcnn),
            terms=dict(more=cwd()),
            **SIZE,
        )
    )
    with pytest.raises(
        ValueError, match='logged as loss_more, which Own returns itself'
    ):
        step_losses(model, DET)
