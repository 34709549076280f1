"""What a student holds beside itself: frozen, shared by copies, and absent."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import get_state_dict
from torch import nn

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.contrast import encoder_file, pcd
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from ..helpers.pretraining import views_batch
from ..helpers.tokens import save_tokens


def distilled(get, folder):
    """The teacher of a distiller."""
    good = get('seg_teacher')
    return dict(
        build=lambda **checkpoint: distiller(
            pspnet(), good | checkpoint, dict(kd=cwd('backbone'))
        ),
        holder=lambda model: model.distill.teachers['teacher'],
        batch=segmentation_batch(),
        parts={'backbone', 'decode_head', 'auxiliary_head', 'distill'},
    )


def masked(get, folder):
    """The tokens of a masked loss."""
    tokens = save_tokens(folder / 'neck.pth', *[48] * 5)

    def build(checkpoint=tokens):
        kind = 'mmdistill_dense.MaskedDetectionLoss'
        term = dict(at='neck', loss=dict(type=kind, tokens=checkpoint))
        return distiller(mask_rcnn(), get('det_teacher'), dict(maskd=term))

    return dict(
        build=build,
        holder=lambda model: model.distill.terms['maskd'].loss,
        batch=detection_batch(1, (64, 64)),
        parts={'backbone', 'neck', 'rpn_head', 'roi_head', 'distill'},
    )


def learning(get, folder):
    """The teacher whose tokens are learned."""
    good = get('seg_teacher')
    cfg = dict(
        type='mmdistill_dense.MaskTokenLearner',
        at='logits',
        weighting=False,
        input_size=(64, 64),
    )
    return dict(
        build=lambda **checkpoint: MODELS.build(
            deepcopy(dict(cfg, teacher=good | checkpoint))
        ),
        holder=lambda model: model.teacher,
        batch=segmentation_batch(),
        parts={'mask_modules'},
    )


def pretraining(get, folder):
    """The self-supervised teacher of a backbone."""
    good = encoder_file(folder / 'encoder.pth')
    return dict(
        build=lambda **checkpoint: MODELS.build(pcd(good | checkpoint)),
        holder=lambda model: model.teacher,
        batch=views_batch(),
        parts={'backbone', 'attention', 'head', 'queue'},
    )


@pytest.fixture(
    scope='module', params=[distilled, masked, learning, pretraining]
)
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('holders')
    settings = request.param(request.getfixturevalue, folder)
    return SimpleNamespace(**settings, what=request.param.__doc__)


@pytest.fixture(scope='module')
def model(case):
    """A model that has loaded what it holds."""
    model = case.build()
    model.init_weights()
    return model


def dtypes(module):
    return {b.dtype for b in module.buffers() if b.is_floating_point()}


def test_held_from_init_weights_on_in_the_students_dtype(case):
    model = case.build().double()
    holder = case.holder(model)
    assert not holder.loaded
    assert holder.model is None
    assert not [v for v in vars(holder).values() if isinstance(v, nn.Module)]
    # A teacher has its input adapter.
    assert not list(holder.modules())[2:]
    model.init_weights()
    assert holder.loaded
    assert dtypes(holder.model) == {torch.float64}


@pytest.mark.parametrize(
    ('checkpoint', 'error', 'message'),
    [
        ('nowhere.pth', FileNotFoundError, r'not exist: nowhere\.pth'),
        (None, ValueError, 'has no checkpoint, so it'),
    ],
)
def test_training_does_not_start_without_it(case, checkpoint, error, message):
    if checkpoint is None and 'teacher' not in case.what:
        pytest.skip('tokens always have a file')
    model = case.build(checkpoint=checkpoint)
    for start in (model.init_weights, lambda: step_losses(model, case.batch)):
        with pytest.raises(error, match=message):
            start()


def test_training_leaves_it_as_it_was_loaded(case, model):
    model = deepcopy(model)
    holder = case.holder(model)
    before = {k: v.clone() for k, v in holder.model.named_buffers()}
    weights = [p.detach().clone() for p in model.parameters()]
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    for switch in (model.eval, model.train, holder.train, model.train):
        switch()
        assert not any(m.training for m in holder.model.modules())
        model.train_step(case.batch, wrapper)
        assert not any(m.training for m in holder.model.modules())
    assert not all(map(torch.equal, weights, model.parameters()))
    after = dict(holder.model.named_buffers())
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(after[key], value), key
        assert not after[key].requires_grad


def test_absent_from_all_that_is_saved_trained_or_walked_through(case, model):
    held = case.holder(model).model
    assert not list(held.parameters())
    # Such as mmdet's NumClassCheckHook, which would compare its classes.
    inside = set(map(id, held.modules()))
    assert inside.isdisjoint(map(id, model.modules()))
    tensors = {b.data_ptr() for b in held.buffers()}
    assert tensors.isdisjoint(t.data_ptr() for t in model.buffers())
    for state in (model.state_dict(), get_state_dict(model)):
        assert tensors.isdisjoint(t.data_ptr() for t in state.values())
        assert {key.split('.')[0] for key in state} == case.parts
        added = [key for key in state if key.startswith('distill.')]
        assert all('.connectors.' in key for key in added)
    cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    trained = {id(p) for group in groups for p in group['params']}
    assert trained == set(map(id, model.parameters()))
    # So strict loading asks for nothing of it.
    deepcopy(model).load_state_dict(model.state_dict(), strict=True)


def test_a_copy_shares_it_and_learns_for_itself(case, model):
    twin = deepcopy(model)
    original, copied = case.holder(model), case.holder(twin)
    assert copied is not original
    assert copied.model is not original.model
    shared = zip(original.model.buffers(), copied.model.buffers(), strict=True)
    assert all(one is other for one, other in shared)
    own = ([*m.parameters(), *m.buffers()] for m in (model, twin))
    assert not any(one is other for one, other in zip(*own, strict=True))
    total(twin, step_losses(twin, case.batch)).backward()
    assert any(p.grad is not None and p.grad.any() for p in twin.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_a_copy_takes_it_along_and_leaves_it_here(case, model):
    held = case.holder(model).model
    before = [b.clone() for b in held.buffers()]
    twin = deepcopy(model).double()
    assert dtypes(case.holder(twin).model) == {torch.float64}
    deepcopy(model).to('meta')
    assert all(map(torch.equal, before, held.buffers()))
