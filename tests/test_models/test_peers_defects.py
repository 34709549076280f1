"""What other toolboxes get wrong, one test each.

EMA's swapped weights and the teacher in checkpoints are held on real Runners
in ``tests/test_host_features``; its dropout in ``test_teacher.py``; layouts,
swapped shapes, what is saved and gradients to the teacher in
``tests/test_functional``; configs in ``tests/test_configs``.
"""

import warnings
from copy import deepcopy
from functools import partial

import mmseg.models.backbones.resnet as mmseg_resnet
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet

SEG = segmentation_batch()
DET = detection_batch(1, (64, 64))


def step(model, batch=SEG):
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch's on checkpoint's default
        losses = step_losses(model, batch)
        total(model, losses).backward()
    return losses


def test_a_recorded_conv_is_not_what_its_in_place_relu_makes_of_it(
    seg_teacher,
):
    """The in-place guard is a no-op on torch >= 2.5: features are ReLU'd."""
    path = 'decode_head.bottleneck.bn'
    at = dict(path=path, clone=True)
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd(at)))
    seen = []
    model.distill.terms.kd.register_forward_pre_hook(
        lambda module, args: seen.extend([args[0][0], args[1][0]])
    )
    step(model)
    assert all(feature.min() < 0 for feature in seen)


@pytest.fixture(scope='module')
def checkpointed(seg_teacher):
    """A model whose blocks are recorded inside activation checkpoints."""

    def build(at='backbone.layer3.1.conv2', with_cp=True):
        student = pspnet(**{'backbone.with_cp': with_cp})
        return distiller(student, seg_teacher, dict(kd=cwd(at)))

    return build


def test_inside_a_reentrant_checkpoint_is_refused(checkpointed):
    """The loss has no gradient there, and nobody says so.

    With the hosts' ``cp.checkpoint(f, x)`` torch takes ``use_reentrant=True``.
    """
    with pytest.raises(
        RuntimeError,
        match=r"student feature 0 of \['backbone\.layer3\.1\.conv2'\] has no "
        'gradient.*re-entrant activation checkpoint.*use_reentrant=False',
    ):
        step(checkpointed())


def test_outside_of_it_the_gradient_is_that_without(checkpointed):
    """The remedy that the refusal names."""
    with_cp, without = (
        checkpointed('backbone'),
        checkpointed('backbone', False),
    )
    without.load_state_dict(with_cp.state_dict())
    for model in (with_cp, without):
        step(model)
    assert_equal_gradients(with_cp, without)


def test_inside_a_non_reentrant_one_too(checkpointed, monkeypatch):
    """The other remedy."""
    without = checkpointed(with_cp=False)
    checkpoint = partial(mmseg_resnet.cp.checkpoint, use_reentrant=False)
    monkeypatch.setattr(mmseg_resnet.cp, 'checkpoint', checkpoint)
    with_cp = checkpointed()
    without.load_state_dict(with_cp.state_dict())
    for model in (with_cp, without):
        step(model)
    assert_equal_gradients(with_cp, without)


def assert_equal_gradients(first, second):
    expected = dict(second.named_parameters())
    for name, parameter in first.named_parameters():
        torch.testing.assert_close(
            parameter.grad, expected[name].grad, msg=name
        )
    assert expected['backbone.layer3.0.conv1.weight'].grad.abs().max() > 0


def test_a_teacher_that_does_not_fit_its_checkpoint_is_refused(
    seg_teacher, det_teacher
):
    """A foreign checkpoint is accepted with a warning; none at all too."""
    for checkpoint, message in (
        (det_teacher['checkpoint'], r'\d+ missing: .*\n  \d+ unexpected: '),
        (None, 'has no checkpoint'),
    ):
        teacher = dict(seg_teacher, checkpoint=checkpoint)
        model = distiller(pspnet(), teacher, dict(kd=cwd('backbone')))
        with pytest.raises(ValueError, match=message):
            model.init_weights()


@pytest.mark.parametrize('by_epoch', [False, True])
def test_after_its_end_a_term_costs_no_teacher_and_needs_no_search(
    seg_teacher, by_epoch
):
    """The teacher runs on, connectors lose their gradient, DDP crashes."""
    schedule = dict(begin=1, end=3, by_epoch=by_epoch)
    terms = dict(kd=cwd('backbone', schedule=schedule))
    model = distiller(pspnet(), seg_teacher, terms)
    model.init_weights()
    calls = []
    backbone = model.distill.teachers['teacher'].model.backbone
    backbone.register_forward_pre_hook(lambda *_: calls.append(1))
    hub = MessageHub.get_instance('a run')
    ran, largest = [], []
    for now in range(4):
        hub.update_info('epoch' if by_epoch else 'iter', now)
        model.zero_grad()
        before = len(calls)
        step(model)
        ran.append(len(calls) - before)
        gradients = [p.grad for p in model.distill.parameters()]
        assert all(g is not None for g in gradients)
        largest.append(max(g.abs().max().item() for g in gradients))
    assert ran == [0, 1, 1, 0]
    assert [value > 0 for value in largest] == [False, True, True, False]


def test_a_step_leaves_no_graph_that_a_deep_copy_would_meet(seg_teacher):
    """Recorded activations live until the next step; a deep copy raises."""
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    losses = step_losses(model, SEG)  # not even backward
    copy = deepcopy(model)
    assert step_losses(copy, SEG)['loss_kd'] > 0
    assert losses['loss_kd'].requires_grad


def test_the_teacher_computes_no_loss_and_needs_no_fitting_labels(teacher_of):
    """It runs its whole ``loss``, so labels must be of its own classes."""
    few = {f'roi_head.{kind}_head.num_classes': 1 for kind in ('bbox', 'mask')}
    teacher = teacher_of(mask_rcnn, **few)
    model = distiller(mask_rcnn(), teacher, dict(kd=cwd()))
    model.init_weights()
    ran = []
    for name in ('rpn_head', 'roi_head'):
        head = getattr(model.distill.teachers['teacher'].model, name)
        for module in head.modules():
            module.register_forward_pre_hook(lambda *_: ran.append(1))
    batch = deepcopy(DET)
    step(model, batch)
    assert not ran
    # A stock model of so few classes fails on them.
    with pytest.raises((IndexError, RuntimeError), match=r'out of|index'):
        step(MODELS.build(teacher['cfg']), deepcopy(DET))


def test_the_students_log_keys_keep_their_names(seg_teacher):
    """They are renamed ``student.*``; curves do not overlay the baseline's."""
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    stock = step(MODELS.build(pspnet()))
    assert [*step(model)] == [*stock, 'loss_kd']
