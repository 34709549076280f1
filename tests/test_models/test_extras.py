"""Further tensors that a term records for its loss."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from ..helpers.batches import detection_batch, step_losses, total
from ..helpers.models import cwd, distiller, mask_rcnn
from . import zoo

SCORES = 'bbox_head.gfl_cls'
FC = 'roi_head.bbox_head'


class KeepsExtras(nn.Module):
    """Keeps its extras, and adds the student's to its value."""

    seen: list = []

    def forward(self, *, student, teacher, level, extras):
        self.seen.append((level, extras))
        parts = [
            sides['student'].pow(2).mean()
            for sides in extras.values()
            if 'student' in sides
        ]
        return (student - teacher).pow(2).mean() + sum(parts)


class NamesNone(nn.Module):
    def forward(self, *, student, teacher):
        return (student - teacher).pow(2).mean()


class Shifts(nn.Module):
    """A connector that adds the mean of the teacher's scores."""

    seen: list = []

    def __init__(self, in_channels, out_channels):
        super().__init__()

    def forward(self, feature, extras):
        self.seen.append(extras)
        return feature + extras['scores']['teacher'].mean()


@pytest.fixture(autouse=True)
def losses():
    for kind in (KeepsExtras, NamesNone, Shifts):
        MODELS.register_module(module=kind)
    yield
    for kind in (KeepsExtras, NamesNone, Shifts):
        MODELS.module_dict.pop(kind.__name__)
    KeepsExtras.seen.clear()
    Shifts.seen.clear()


def term(extras, at='neck', loss='KeepsExtras', **settings):
    return dict(
        kd=dict(at=at, loss=dict(type=loss), extras=extras, **settings)
    )


def built(student, teacher, terms):
    model = distiller(student, teacher, terms)
    model.init_weights()
    KeepsExtras.seen.clear()
    return model


def test_extras_are_paired_like_levels(teacher_of):
    extras = dict(
        scores=dict(student=SCORES, teacher=SCORES),
        edges=dict(teacher='bbox_head.gfl_reg'),
    )
    terms = dict(**term(extras), other=cwd('neck'))
    model = built(zoo.gfl(), teacher_of(zoo.gfl), terms)
    calls = []
    teacher = model.distill.teachers['teacher'].model
    for side in (model, teacher):
        side.bbox_head.gfl_cls.register_forward_hook(
            lambda module, _, out: calls.append((module, out)), prepend=True
        )
    losses = step_losses(model, detection_batch(2, (64, 64)))
    scores = {
        side: [out for module, out in calls if module is owner]
        for side, owner in dict(
            student=model.bbox_head.gfl_cls, teacher=teacher.bbox_head.gfl_cls
        ).items()
    }
    assert [level for level, _ in KeepsExtras.seen] == list(range(5))
    for level, got in KeepsExtras.seen:
        for side in ('student', 'teacher'):
            assert torch.equal(got['scores'][side], scores[side][level])
        assert got['scores']['student'].requires_grad
        assert not got['scores']['teacher'].requires_grad
        assert list(got['edges']) == ['teacher']
        assert got['edges']['teacher'].shape[1] == 4 * 17
    losses['loss_kd'].backward()
    assert model.bbox_head.gfl_cls.weight.grad.abs().max() > 0
    total(model, losses)


def test_extras_of_a_box_head_have_the_terms_regions(teacher_of):
    extras = dict(
        classes=dict(teacher=f'{FC}.fc_cls'),
        own=dict(student=f'{FC}.fc_cls', teacher=f'{FC}.fc_cls'),
    )
    terms = term(extras, f'{FC}.fc_reg')
    model = built(mask_rcnn(), teacher_of(mask_rcnn, depth=50), terms)
    seen = []
    model.roi_head.bbox_head.fc_reg.register_forward_hook(
        lambda _, args, out: seen.append(len(out)), prepend=True
    )
    step_losses(model, detection_batch(2, (64, 64)))
    ((_, got),) = KeepsExtras.seen
    assert got['classes']['teacher'].shape == (seen[0], 4)
    assert torch.equal(got['classes']['teacher'], got['own']['teacher'])
    assert got['own']['student'].shape == (seen[0], 4)


def test_the_log_and_the_inspection_name_extras(teacher_of, log_lines):
    extras = dict(scores=dict(teacher=SCORES))
    distiller(zoo.gfl(), teacher_of(zoo.gfl), term(extras))
    assert "extra 'scores': teacher bbox_head.gfl_cls" in '\n'.join(log_lines)


@pytest.mark.parametrize(
    ('extras', 'settings', 'message'),
    [
        (None, {}, "needs 'extras', but the term records none"),
        (
            dict(x=dict(teacher=SCORES)),
            dict(loss='NamesNone'),
            r"extras \['x'\] would be recorded for nothing",
        ),
        (
            dict(x=dict(teacher='neck.fpn_convs.0.conv')),
            {},
            "'x' of the teacher: 1 levels, expected as many .* teacher, 5",
        ),
        (
            dict(x=dict(student='backbone')),
            dict(at='neck.fpn_convs.{0..3}.conv'),
            "'x' of the student: .*stride 4, expected the stride .* stride 8",
        ),
        (dict(x=dict(teacher='nack')), {}, "no module matches 'nack'"),
        (dict(x='neck'), {}, 'extras must be dict'),
        ('neck', {}, 'extras must be dict'),
        ({'a b': dict(teacher='neck')}, {}, 'extras must be dict'),
        (dict(x=dict(teacher=3)), {}, 'extras must be dict.*got 3'),
    ],
)
def test_extras_that_are_refused(teacher_of, extras, settings, message):
    with pytest.raises(ValueError, match=f"term 'kd'.*{message}"):
        distiller(zoo.gfl(), teacher_of(zoo.gfl), term(extras, **settings))


def test_extras_of_the_other_kind_are_refused(teacher_of):
    teacher = teacher_of(mask_rcnn)
    mixed = [
        (dict(x=dict(teacher=f'{FC}.fc_cls')), 'neck'),
        (dict(x=dict(student='backbone')), f'{FC}.fc_reg'),
    ]
    for extras, at in mixed:
        with pytest.raises(ValueError, match='cannot stand beside'):
            distiller(mask_rcnn(), teacher, term(extras, at))


def test_a_connector_that_names_extras_gets_those_of_its_level(teacher_of):
    extras = dict(scores=dict(teacher=SCORES))
    connector = dict(type='Shifts')
    terms = term(extras, loss='NamesNone', connector=connector)
    model = built(zoo.gfl(), teacher_of(zoo.gfl), terms)
    Shifts.seen.clear()
    losses = step_losses(model, detection_batch(2, (64, 64)))
    shapes = [x['scores']['teacher'].shape[-1] for x in Shifts.seen]
    assert shapes == [8, 4, 2, 1, 1]
    total(model, losses).backward()
    none = term(None, loss='NamesNone', connector=connector)
    with pytest.raises(ValueError, match="or a connector needs 'extras'"):
        distiller(zoo.gfl(), teacher_of(zoo.gfl), none)
