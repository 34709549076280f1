"""Modules of the student that start with the teacher's weights."""

import logging
from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS

from ..helpers.batches import segmentation_batch, step_losses
from ..helpers.models import cwd, distiller, pspnet
from ..helpers.runs import differing, snapshot
from . import zoo


@pytest.fixture
def teacher(teacher_of):
    return teacher_of(zoo.retinanet)


def build(teacher, inherit, student=zoo.retinanet, **terms):
    return distiller(student(), teacher, terms, inherit=inherit)


def weights(teacher):
    return torch.load(teacher['checkpoint'])['state_dict']


def of(state, *modules):
    """What a state dict holds of these modules."""
    starts = tuple(f'{module}.' for module in modules)
    return {k: v for k, v in state.items() if k.startswith(starts)}


@pytest.mark.parametrize('terms', [{}, dict(neck_kd=cwd())])
def test_copied_where_training_starts(teacher, terms):
    torch.manual_seed(5)
    stock = MODELS.build(zoo.retinanet())
    stock.init_weights()
    torch.manual_seed(5)
    model = build(teacher, ['neck', 'bbox_head'], **terms)
    before = snapshot(model)
    assert differing(of(before, 'neck'), of(weights(teacher), 'neck'))
    model.init_weights()
    state = snapshot(model)
    both = ('neck', 'bbox_head')
    assert len(of(state, *both)) == 36
    assert not differing(of(state, *both), of(weights(teacher), *both))
    expected = of(stock.state_dict(), 'backbone')
    assert not differing(of(state, 'backbone'), expected)
    assert all(p.requires_grad for p in model.neck.parameters())


def test_the_copies_are_the_students_own(teacher):
    model = build(teacher, 'neck', neck_kd=cwd())
    model.init_weights()
    other = model.distill.teachers['teacher'].model
    with torch.no_grad():
        model.neck.lateral_convs[0].conv.weight.add_(1)
    weight = other.neck.lateral_convs[0].conv.weight
    key = 'neck.lateral_convs.0.conv.weight'
    assert torch.equal(weight, weights(teacher)[key])


def test_buffers_are_inherited_too(teacher_of):
    teacher = teacher_of(pspnet)
    changed = torch.load(teacher['checkpoint'])
    key = 'decode_head.bottleneck.bn.running_mean'
    changed['state_dict'][key].fill_(0.25)
    path = teacher['checkpoint'].replace('.pth', '-changed.pth')
    torch.save(changed, path)
    model = build(dict(teacher, checkpoint=path), 'decode_head', pspnet)
    model.init_weights()
    assert (model.decode_head.bottleneck.bn.running_mean == 0.25).all()


def test_a_part_by_its_path_or_a_pattern(teacher):
    model = build(teacher, ['neck.fpn_convs.{0..1}', 'bbox_head.retina_*'])
    model.init_weights()
    taken = (
        *('neck.fpn_convs.0', 'neck.fpn_convs.1'),
        *('bbox_head.retina_cls', 'bbox_head.retina_reg'),
    )
    state = snapshot(model)
    assert not differing(of(state, *taken), of(weights(teacher), *taken))
    left = of(state, 'neck.fpn_convs.2')
    assert differing(left, of(weights(teacher), 'neck.fpn_convs.2'))


def test_trained_weights_are_not_reset(teacher):
    model = build(teacher, ['neck'])
    model.init_weights()
    with torch.no_grad():
        model.neck.lateral_convs[0].conv.weight.add_(1)
    trained = snapshot(model)
    model.init_weights()
    assert not differing(trained, snapshot(model))


def test_a_teacher_that_gives_only_weights_is_not_kept(teacher, tmp_path):
    MMLogger.get_instance(
        'run', log_file=str(tmp_path / 'run.log'), log_level=logging.WARNING
    )
    model = build(teacher, ['neck'])
    model.init_weights()
    assert not model.distill.teachers
    assert len(snapshot(deepcopy(model))) == len(weights(teacher))
    written = Config.fromfile(tmp_path / 'teacher.py')
    assert written.model.type == 'RetinaNet'


def test_one_line_says_so(teacher, log_lines):
    build(teacher, ['neck', 'bbox_head']).init_weights()
    (line,) = [x for x in log_lines if x.startswith('Inherited')]
    assert line == (
        'Inherited, 36 tensors: neck, bbox_head of the student: weights of '
        "teacher 'teacher'."
    )


def test_one_of_several_teachers(teacher_of):
    small = teacher_of(pspnet)
    big = teacher_of(pspnet, depth=50)
    inherit = dict(modules='decode_head.conv_seg', teacher='small')
    model = build(
        dict(big=big, small=small),
        inherit,
        pspnet,
        kd=cwd('logits', teacher='big'),
    )
    model.init_weights()
    key = 'decode_head.conv_seg'
    assert not differing(of(snapshot(model), key), of(weights(small), key))
    assert set(model.distill.teachers) == {'big'}
    assert step_losses(model, segmentation_batch())['loss_kd'] > 0


def test_without_it_nothing_is_inherited(teacher):
    model = build(teacher, None, neck_kd=cwd())
    model.init_weights()
    state = snapshot(model)
    assert differing(of(state, 'neck'), of(weights(teacher), 'neck'))


@pytest.mark.parametrize(
    ('inherit', 'message'),
    [
        (['nek'], "inherit, student: no module matches 'nek'. Nearest names"),
        ([''], r"inherit must be a list of module paths, .* got \[''\]"),
        (dict(teacher='teacher'), 'inherit must be a list of module paths'),
        (dict(modules=['neck'], strict=True), 'inherit must be a list'),
        (3, 'inherit must be a list of module paths, .* got 3'),
        (dict(modules='neck', teacher='x'), "teacher='x' is none of the"),
    ],
)
def test_settings_that_are_refused(teacher, inherit, message):
    with pytest.raises(ValueError, match=message):
        build(teacher, inherit)


def test_it_must_be_clear_from_whom(teacher):
    with pytest.raises(
        ValueError,
        match=r"inherit: teacher=None is none of the teachers \['a', 'b'\]",
    ):
        build(dict(a=teacher, b=teacher), ['neck'])
    with pytest.raises(ValueError, match='none of the teachers'):
        build(None, ['neck'])
    with pytest.raises(ValueError, match=r"teacher: \['b'\] has no term"):
        build(dict(a=teacher, b=teacher), dict(modules='neck', teacher='a'))


@pytest.mark.parametrize(
    ('options', 'module', 'message'),
    [
        (
            {'bbox_head.num_classes': 5},
            'bbox_head',
            r"inherit: 'bbox_head' cannot be inherited: "
            r'bbox_head\.retina_cls\.weight is \(27, 32, 3, 3\) in the '
            r'student and \(45, 32, 3, 3\) in the teacher',
        ),
        (
            {'bbox_head.stacked_convs': 3},
            'bbox_head',
            r"'bbox_head' is not the same module in both models: bbox_head"
            r'\.cls_convs\.3\.conv\.bias is in the student only',
        ),
        (
            {'neck.num_outs': 4, 'bbox_head.stacked_convs': 4},
            'neck.fpn_convs.4',
            "inherit, teacher 'teacher': no module matches 'neck.fpn_convs",
        ),
    ],
)
def test_modules_that_differ_are_named(teacher_of, options, module, message):
    with pytest.raises(ValueError, match=message):
        build(teacher_of(zoo.retinanet, **options), [module])
