"""A student's map that runs on through frozen modules of the teacher."""

from copy import deepcopy

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmdistill_dense.models.teachers.through import run_chain

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.models import STILL, distiller, pspnet
from . import zoo

CLS = ['bbox_head.cls_convs.{2..3}', 'bbox_head.gfl_cls']
REG = [
    *('bbox_head.reg_convs.{2..3}', 'bbox_head.gfl_reg'),
    'bbox_head.scales.{level}',
]
WIDER = {
    'neck.out_channels': 384,
    'bbox_head.in_channels': 384,
    'bbox_head.feat_channels': 384,
}


class KeepsMaps(nn.Module):
    """Keeps both maps."""

    seen: list = []

    def forward(self, *, student, teacher):
        self.seen.append((student, teacher))
        return (student - teacher).pow(2).mean()


@pytest.fixture(autouse=True)
def loss():
    MODELS.register_module(module=KeepsMaps)
    yield
    MODELS.module_dict.pop('KeepsMaps')
    KeepsMaps.seen.clear()


def term(kind='cls', through=None, **settings):
    last, own = ('gfl_cls', CLS) if kind == 'cls' else ('scales.*', REG)
    at = dict(student=f'bbox_head.{kind}_convs.1', teacher=f'bbox_head.{last}')
    return dict(
        at=at,
        loss=dict(type='KeepsMaps'),
        through=own if through is None else through,
        **settings,
    )


def built(teacher, student=None, **terms):
    model = distiller(student or zoo.gfl(), teacher, terms)
    model.init_weights()
    KeepsMaps.seen.clear()
    return model


def stepped(model):
    """A step's losses, and what the student's module gave at each level."""
    outputs = dict(cls=[], reg=[])
    handles = [
        model.get_submodule(f'bbox_head.{kind}_convs.1').register_forward_hook(
            lambda _, args, out, kept=kept: kept.append(out), prepend=True
        )
        for kind, kept in outputs.items()
    ]
    losses = step_losses(model, detection_batch(2, (64, 64)))
    for handle in handles:
        handle.remove()
    return losses, outputs


def by_hand(teacher, kind, level, x):
    """The rest of the teacher's head as the host computes it."""
    head = teacher.bbox_head
    for conv in getattr(head, f'{kind}_convs')[2:]:
        x = conv(x)
    if kind == 'cls':
        return head.gfl_cls(x)
    return head.scales[level](head.gfl_reg(x))


def test_the_rest_of_the_teachers_head_runs_per_level_with_its_scales(
    teacher_of,
):
    model = built(teacher_of(zoo.gfl), kd=term(), edges=term('reg'))
    teacher = model.distill.teachers['teacher'].model
    for level, scale in enumerate(teacher.bbox_head.scales):
        scale.scale.fill_(1 + level)
    losses, outputs = stepped(model)
    found = iter(KeepsMaps.seen)
    for kind in ('cls', 'reg'):
        for level, x in enumerate(outputs[kind]):
            student, recorded = next(found)
            assert torch.equal(student, by_hand(teacher, kind, level, x))
            assert not torch.equal(student, recorded)
            # The gradient is that of the same computation.
            (got,) = torch.autograd.grad(
                (student - recorded).pow(2).sum(), x, retain_graph=True
            )
            own = x.detach().requires_grad_()
            out = by_hand(teacher, kind, level, own)
            (out - recorded).pow(2).sum().backward()
            assert torch.equal(got, own.grad)
            assert got.abs().max() > 0
    total(model, losses).backward()
    assert not list(model.distill.parameters())
    assert not [k for k in model.state_dict() if k.startswith('distill.')]
    assert all(b.grad is None for b in teacher.buffers())


def test_a_connector_fits_the_first_module(teacher_of):
    model = built(teacher_of(zoo.gfl, **WIDER), kd=term())
    connectors = model.distill.terms['kd'].connectors
    shapes = {tuple(c.block.conv.weight.shape[:2]) for c in connectors}
    assert shapes == {(48, 32)}
    losses, _ = stepped(model)
    total(model, losses).backward()
    assert connectors[0].block.conv.weight.grad.abs().max() > 0
    assert KeepsMaps.seen[0][0].shape == KeepsMaps.seen[0][1].shape


def segmentor(teacher):
    """A student whose map runs through a conv, a batch norm and the logits."""
    at = dict(
        student=dict(path='decode_head.bottleneck', take='input'),
        teacher='logits',
    )
    through = ['decode_head.bottleneck', 'decode_head.conv_seg']
    kd = dict(at=at, loss=dict(type='KeepsMaps'), through=through)
    torch.manual_seed(3)
    return built(teacher, pspnet(**STILL), kd=kd)


@pytest.mark.parametrize(
    'switches',
    [dict(precision='bf16'), dict(fold_bn=True), dict(channels_last=True)],
)
def test_switches_for_speed_do_not_change_the_modules(teacher_of, switches):
    teacher = teacher_of(pspnet, depth=50)
    plain, fast = segmentor(teacher), segmentor(dict(teacher, **switches))
    for model in (plain, fast):
        step_losses(model, segmentation_batch(2, (64, 64)))
    (expected, _), (found, _) = KeepsMaps.seen
    assert found.dtype == torch.float32
    assert torch.equal(expected, found)
    owner = fast.distill.teachers['teacher']
    norm = owner.model.decode_head.bottleneck.bn
    assert isinstance(norm, nn.Identity) == ('fold_bn' in switches)
    # A copy for EMA has the modules too, and shares their tensors.
    copied = deepcopy(fast).distill.teachers['teacher']
    x = torch.randn(1, 320, 8, 8)
    assert torch.equal(
        copied.run_through('kd', 0, x), owner.run_through('kd', 0, x)
    )
    pointers = {b.data_ptr() for b in owner._frozen[1].buffers()}
    assert pointers == {b.data_ptr() for b in copied._frozen[1].buffers()}
    copied.double()
    assert copied.run_through('kd', 0, x.double()).dtype == torch.float64


def test_a_map_is_not_changed_in_place():
    x = torch.tensor([-1.0, 1.0])
    assert run_chain([nn.ReLU(inplace=True)], x).tolist() == [0, 1]
    assert x.tolist() == [-1, 1]


@pytest.mark.parametrize(
    ('through', 'message'),
    [
        (['bbox_head.cls_convs.{3..2}', CLS[1]], 'runs .* otherwise'),
        (['bbox_head.cls_convs.2', CLS[1]], 'runs .* otherwise'),
        (['bbox_head.reg_convs.{2..3}', CLS[1]], 'runs .* otherwise'),
        (['bbox_head.cls_convs.{2..3}'], 'runs .* otherwise'),
        (['bbox_head.cls_convs'], 'called less often than'),
        (['bbox_head.scales.0'], 'called less often than'),
        (['bbox_head.cls'], "no module matches 'bbox_head.cls'"),
        ('bbox_head.gfl_cls', 'through must be a list'),
        ([], 'through must be a list'),
        ([3], 'through must be a list'),
    ],
)
def test_modules_that_the_teacher_runs_otherwise_are_refused(
    teacher_of, through, message
):
    terms = dict(kd=term(through=through))
    with pytest.raises(ValueError, match=f"'?kd'?.*{message}"):
        distiller(zoo.gfl(), teacher_of(zoo.gfl), terms)


def test_classes_and_through_exclude_each_other(teacher_of):
    terms = dict(kd=term(classes=[0, 1]))
    with pytest.raises(ValueError, match='classes cannot be selected'):
        distiller(zoo.gfl(), teacher_of(zoo.gfl), terms)


def test_the_log_names_the_modules(teacher_of, log_lines):
    distiller(zoo.gfl(), teacher_of(zoo.gfl), dict(kd=term('reg')))
    assert 'student runs on through: bbox_head.reg_convs.{2..3}' in (
        '\n'.join(log_lines)
    )
