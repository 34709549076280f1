"""The teacher: frozen, eval, without gradients, shared, and absent."""

from copy import deepcopy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import get_state_dict

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
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


def look(teacher, seed=0, key='kd'):
    inputs = torch.randn(
        2, 3, 64, 64, generator=torch.Generator().manual_seed(seed)
    )
    samples = segmentation_batch()['data_samples']
    return teacher(inputs, samples, [key])[key]


def test_frozen_after_steps_of_training(loaded):
    model = deepcopy(loaded)
    teacher = teacher_in(model)
    before = {k: v.clone() for k, v in teacher.model.named_buffers()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weight = model.backbone.layer4[1].conv2.weight
    old = weight.clone()
    for seed in range(2):
        optimizer.zero_grad()
        losses = step_losses(model, segmentation_batch(seed=seed))
        total(model, losses).backward()
        optimizer.step()
    assert not torch.equal(weight, old)
    assert len(before) > 300
    for key, value in teacher.model.named_buffers():
        assert torch.equal(value, before[key]), key
        assert value.grad is None


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


def test_shared_by_deep_copies(loaded):
    copy = deepcopy(loaded)
    assert copy.backbone is not loaded.backbone
    assert copy.distill.terms is not loaded.distill.terms
    ours, theirs = (teacher_in(m).model for m in (loaded, copy))
    assert ours is not theirs
    for one, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert one is other


def test_moving_a_copy_leaves_the_teacher_where_it_is(loaded):
    before = [b.clone() for b in teacher_in(loaded).model.buffers()]
    copy = deepcopy(loaded).half()
    assert next(teacher_in(copy).model.buffers()).dtype == torch.float16
    deepcopy(loaded).to('meta')
    after = list(teacher_in(loaded).model.buffers())
    assert all(map(torch.equal, before, after))


def test_no_hook_that_walks_through_modules_meets_it(loaded):
    # Such as mmdet's NumClassCheckHook, which would compare its classes.
    inside = set(map(id, teacher_in(loaded).model.modules()))
    assert not inside & set(map(id, loaded.modules()))
    names = [name for name, _ in loaded.named_buffers()]
    assert not [name for name in names if 'teachers.teacher.model' in name]


def test_absent_from_state_dicts_and_parameters(loaded):
    model = MODELS.build(pspnet())
    stock = model.state_dict().keys()
    for state in (loaded.state_dict(), get_state_dict(loaded)):
        ours = state.keys() - stock
        assert len(ours) == 8
        assert all(k.startswith('distill.terms.kd.connect') for k in ours)
    names = {name for name, _ in loaded.named_parameters()}
    assert names - dict(model.named_parameters()).keys() == ours
    assert not list(teacher_in(loaded).parameters())


def test_absent_from_the_optimizer(loaded):
    cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    wrapper = build_optim_wrapper(loaded, cfg)
    (group,) = wrapper.optimizer.param_groups
    stock = list(MODELS.build(pspnet()).parameters())
    assert len(group['params']) == len(stock) + 8
    ids = {p.data_ptr() for p in group['params']}
    assert not any(
        b.data_ptr() in ids for b in teacher_in(loaded).model.buffers()
    )


def test_a_checkpoint_with_a_teachers_keys_is_not_expected(loaded):
    # Strict loading asks for nothing of the teacher.
    copy = deepcopy(loaded)
    loaded_keys = copy.load_state_dict(loaded.state_dict(), strict=True)
    assert not loaded_keys.missing_keys
    assert not loaded_keys.unexpected_keys


def test_present_where_the_student_goes(loaded, seg_teacher):
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    model.init_weights()
    model.double()
    teacher = teacher_in(model).model
    kinds = {b.dtype for b in teacher.buffers() if b.is_floating_point()}
    assert kinds == {torch.float64}
    features = teacher_in(model)(
        torch.zeros(1, 3, 64, 64, dtype=torch.float64),
        segmentation_batch(1)['data_samples'],
        ['kd'],
    )
    assert {f.dtype for f in features['kd']} == {torch.float64}


def test_loaded_in_the_dtype_of_the_student(seg_teacher):
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    model.double()
    model.init_weights()
    weight = teacher_in(model).model.backbone.stem[0].weight
    assert weight.dtype == torch.float64


def test_the_students_ground_truth_may_have_other_classes(teacher_of):
    """The teacher knows 2 classes; the batch has labels 0 and 2."""
    few = {f'roi_head.{kind}_head.num_classes': 2 for kind in ('bbox', 'mask')}
    teacher = teacher_of(mask_rcnn, **few)
    model = distiller(mask_rcnn(), teacher, dict(kd=cwd()))
    losses = step_losses(model, detection_batch(1, (64, 64)))
    assert torch.isfinite(total(model, losses))
