"""Terms, teachers and settings of a distiller put together."""

import gc
import weakref
from copy import deepcopy

import pytest
import torch
from mmengine.registry import MODELS

from mmdistill_dense.models import DenseDistiller
from mmdistill_dense.models.distillers.report import describe_terms

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet

SIZE = dict(input_size=(64, 64))
SEG = segmentation_batch()


@pytest.fixture(scope='module')
def two_terms(seg_teacher):
    """Features and logits from one teacher."""
    terms = dict(features=cwd('backbone'), logits=cwd('logits', weight=3.0))
    model = distiller(pspnet(), seg_teacher, terms)
    model.init_weights()
    return model


def seeded_losses(model, seed=5):
    torch.manual_seed(seed)
    return step_losses(deepcopy(model), SEG)


def test_two_terms_are_the_sum_of_each_alone(two_terms, seg_teacher):
    both = seeded_losses(two_terms)
    for name in ('features', 'logits'):
        term = dict(
            features=cwd('backbone'), logits=cwd('logits', weight=3.0)
        )[name]
        model = distiller(pspnet(), seg_teacher, {name: term})
        model.load_state_dict(two_terms.state_dict(), strict=False)
        alone = seeded_losses(model)
        assert torch.equal(alone[f'loss_{name}'], both[f'loss_{name}'])
        assert set(both) - set(alone) == {
            'loss_features',
            'loss_logits',
        } - {f'loss_{name}'}


def test_the_teacher_runs_once_for_all_its_terms(two_terms):
    teacher = two_terms.distill.teachers['teacher'].model
    calls = []
    handle = teacher.backbone.register_forward_pre_hook(
        lambda *_: calls.append(1)
    )
    seeded_losses(two_terms)
    handle.remove()
    assert len(calls) == 1


def test_several_teachers_each_with_its_term(seg_teacher, teacher_of):
    other = teacher_of(pspnet, **{'data_preprocessor.pad_val': 1})
    model = distiller(
        pspnet(),
        dict(big=seg_teacher, small=other),
        dict(
            one=cwd('backbone', teacher='big'),
            two=cwd('backbone', teacher='small'),
            three=cwd('logits', teacher='small'),
        ),
    )
    assert set(model.distill.teachers) == {'big', 'small'}
    model.init_weights()
    losses = seeded_losses(model)
    assert all(losses[f'loss_{k}'] > 0 for k in ('one', 'two', 'three'))
    ran = {
        name: list(teacher._hooks.calls())
        for name, teacher in model.distill.teachers.items()
    }
    assert [path for path, *_ in ran['big']] == ['backbone']
    assert [path for path, *_ in ran['small']] == [
        'backbone',
        'decode_head.conv_seg',
    ]


def test_a_teacher_that_no_term_uses_is_refused(seg_teacher):
    with pytest.raises(
        ValueError, match=r"teacher: \['idle'\] has no term that names it"
    ):
        distiller(
            pspnet(),
            dict(used=seg_teacher, idle=seg_teacher),
            dict(kd=cwd('backbone', teacher='used')),
        )


def test_without_terms_it_trains_as_the_stock_model():
    model = distiller(pspnet(), dict(cfg='no/such/file.py'))
    assert not list(model.distill.parameters())
    losses = seeded_losses(model)
    stock = MODELS.build(pspnet())
    stock.load_state_dict(model.state_dict())
    for key, value in seeded_losses(stock).items():
        assert torch.equal(losses[key], value)


def test_auxiliary_heads_are_distilled(seg_teacher):
    term = cwd('auxiliary_head.conv_seg')
    model = distiller(pspnet(), seg_teacher, dict(aux=term))
    losses = step_losses(model, SEG)
    losses['loss_aux'].backward()
    assert model.auxiliary_head.conv_seg.weight.grad.abs().max() > 0
    assert model.decode_head.conv_seg.weight.grad is None


def test_inputs_of_modules_are_distilled(seg_teacher):
    at = dict(path='decode_head.conv_seg', take='input')
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd(at)))
    model.decode_head.dropout.eval()
    seen = []
    model.decode_head.conv_seg.register_forward_pre_hook(
        lambda m, x: seen.append(x[0].shape[1])
    )
    losses = step_losses(model, SEG)
    assert seen == [model.distill.terms.kd.student_specs[0].channels]
    losses['loss_kd'].backward()
    assert model.decode_head.bottleneck.conv.weight.grad.abs().max() > 0
    assert model.decode_head.conv_seg.weight.grad is None


def test_each_side_may_name_its_own_module(teacher_of, log_lines):
    at = dict(student='neck', teacher='neck.fpn_convs.{0..3}')
    model = distiller(
        mask_rcnn(), teacher_of(mask_rcnn), dict(kd=cwd(at)),
        input_size=(128, 128),
    )  # fmt: skip
    assert model.distill.terms.kd.pairs == [(i, i) for i in range(4)]
    text = '\n'.join(log_lines)
    assert 'neck <- teacher neck.fpn_convs' in text
    assert 'left out: student 32 channels at stride 64' in text
    losses = step_losses(model, detection_batch(1, (64, 64)))
    assert losses['loss_kd'] > 0


def test_a_teacher_of_other_classes_teaches_features(teacher_of):
    teacher = teacher_of(pspnet, classes=6)
    model = distiller(pspnet(), teacher, dict(kd=cwd('backbone')))
    assert step_losses(model, SEG)['loss_kd'] > 0
    # Logits of other classes go through a connector that is written out.
    term = cwd('logits', connector=dict(type='mmdistill_dense.ConvConnector'))
    model = distiller(pspnet(), teacher, dict(kd=term))
    assert '4 channels at stride 8 <- 6 channels' in describe_terms(
        model.distill
    )


def test_no_tensor_and_no_graph_outlives_the_step(two_terms):
    model = deepcopy(two_terms)
    alive = []

    def keep(module, args, output):
        tensors = output if isinstance(output, tuple) else (output,)
        alive.extend(weakref.ref(t) for t in tensors)

    teacher = model.distill.teachers['teacher'].model
    handles = [
        module.register_forward_hook(keep)
        for side in (model, teacher)
        for module in (side.backbone, side.decode_head.conv_seg)
    ]
    losses = step_losses(model, SEG)
    total(model, losses).backward()
    for handle in handles:
        handle.remove()
    del losses
    gc.collect()
    # The teacher stops at conv_seg, before the last of these hooks.
    assert len(alive) == 4 + 1 + 4
    assert not [ref for ref in alive if ref() is not None]
    deepcopy(model)  # which a live graph would not survive


def test_nothing_is_left_after_a_step_that_fails(two_terms):
    model = deepcopy(two_terms)
    batch = deepcopy(SEG)
    batch['data_samples'][0].gt_sem_seg.data += 100  # no such class
    with pytest.raises((IndexError, RuntimeError), match='out of bounds'):
        step_losses(model, batch)
    assert not any(model.distill.recorders.calls().values())
    deepcopy(model)
    losses = step_losses(model, SEG)
    assert losses['loss_features'] > 0


class Named(DenseDistiller):
    """A distiller of one's own."""

    def __init__(self, *args, nickname, **kwargs):
        super().__init__(*args, **kwargs)
        self.nickname = nickname


def test_a_subclass_keeps_its_class_and_its_constructor(seg_teacher):
    student = MODELS.build(pspnet())
    terms = dict(kd=cwd('logits'))
    model = Named(student, seg_teacher, terms, nickname='small', **SIZE)
    assert model is student
    assert isinstance(model, Named)
    copied = deepcopy(model)
    assert type(copied) is type(model)
    assert copied.nickname == 'small'
