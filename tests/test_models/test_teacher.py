"""The teacher of a distiller: without gradients, dropout or its classes.

What it shares with all that is held is in ``test_holders``.
"""

from copy import deepcopy

import pytest
import torch

from ..helpers.batches import (
    segmentation_batch,
)
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from . import zoo


@pytest.fixture(scope='module')
def loaded(seg_teacher):
    """PSPNet R18 with the teacher PSPNet R50 in memory."""
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    model.init_weights()
    return model


def teacher_in(model):
    return model.distill.teachers['teacher']


def look(teacher, dtype=torch.float32):
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 3, 64, 64, generator=rng).to(dtype)
    samples = segmentation_batch()['data_samples']
    return teacher(inputs, samples, ['kd'])['kd']


def test_without_gradients_but_no_inference_tensors(loaded):
    for feature in look(teacher_in(loaded)):
        assert not feature.requires_grad
        assert not feature.is_inference()
        # A student map may be multiplied with it and trained.
        other = torch.ones_like(feature, requires_grad=True)
        (other * feature).sum().backward()
        assert torch.equal(other.grad, feature)


@pytest.mark.parametrize(
    ('build', 'at'), [(pspnet, 'logits'), (zoo.swin_upernet, 'backbone')]
)
def test_dropout_and_drop_path_stay_off(teacher_of, build, at):
    model = distiller(build(), teacher_of(build), dict(kd=cwd(at)))
    model.init_weights()
    teacher = teacher_in(model)
    for switch in (model.eval, model.train, teacher.train, model.train):
        switch()
        assert not any(m.training for m in teacher.model.modules())
        for first, second in zip(look(teacher), look(teacher), strict=True):
            assert torch.equal(first, second)
    assert model.training
    # What would differ otherwise.
    teacher.model.train()
    assert not torch.equal(look(teacher)[-1], look(teacher)[-1])


def test_eval_of_a_backbone_whose_train_returns_nothing(det_teacher):
    # mmdet's ResNet: train() and eval() return None.
    model = distiller(mask_rcnn(), det_teacher, dict(kd=cwd()))
    model.init_weights()
    model.train()
    backbone = teacher_in(model).model.backbone
    assert backbone.train(False) is None
    assert not any(m.training for m in backbone.modules())


def test_it_looks_in_the_students_dtype(loaded):
    features = look(teacher_in(deepcopy(loaded).double()), torch.float64)
    assert {f.dtype for f in features} == {torch.float64}
