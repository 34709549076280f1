"""What a distiller makes of its config, and what it says about it."""

from copy import deepcopy

import torch
from mmengine.registry import MODELS

from ..helpers.models import cwd, distiller, pspnet
from . import zoo

SIZE = dict(input_size=(64, 64))


def test_the_preprocessor_of_the_top_level_fills_in_a_missing_one():
    cfg = pspnet()
    injected = cfg.pop('data_preprocessor')
    model = distiller(cfg, data_preprocessor=injected)
    expected = MODELS.build(pspnet()).data_preprocessor
    assert type(model.data_preprocessor) is type(expected)
    assert torch.equal(model.data_preprocessor.mean, expected.mean)


def test_the_students_own_preprocessor_wins_and_a_line_says_so(log_lines):
    other = dict(pspnet().data_preprocessor, pad_val=7, mean=[0.0] * 3)
    model = distiller(pspnet(), data_preprocessor=other)
    assert model.data_preprocessor.pad_val == 0
    (line,) = [x for x in log_lines if 'data_preprocessor' in x]
    assert "differs in ['mean', 'pad_val'] and is ignored" in line


def test_equal_preprocessors_are_no_news(log_lines):
    same = deepcopy(pspnet().data_preprocessor)
    distiller(pspnet(), data_preprocessor=same)
    assert not [x for x in log_lines if 'data_preprocessor' in x]


def test_what_is_distilled_is_logged(seg_teacher, log_lines):
    term = cwd('backbone', level_weights=[0, 1, 1, 0.5], tau=4.0)
    distiller(pspnet(), dict(big=seg_teacher), dict(kd=term))
    (text,) = [x for x in log_lines if x.startswith('Distillation:')]
    for line in (
        "  kd: student backbone <- teacher 'big' backbone",
        '    8 channels at stride 4 <- 32 channels at stride 4 through '
        'ConvConnector, weight 0',
        'ChannelWiseLoss(tau=4.0, loss_weight=1.0)',
    ):
        assert line in text
    assert text.count('through ConvConnector') == 4


def test_a_built_model_may_be_given(seg_teacher):
    stock = MODELS.build(pspnet())
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    given = MODELS.build(
        dict(
            type='mmdistill_dense.DenseDistiller',
            student=stock,
            teacher=seg_teacher,
            terms=dict(kd=cwd('backbone')),
            **SIZE,
        )
    )
    assert given is stock
    assert type(given) is type(model)


def test_one_config_may_be_student_and_teacher(teacher_of):
    # Models write into their configs: building one must not spoil the other.
    teacher = teacher_of(zoo.deformable_detr)
    cfg = zoo.deformable_detr()
    model = MODELS.build(
        dict(
            type='mmdistill_dense.DenseDistiller',
            student=cfg,
            teacher=dict(teacher, cfg=cfg),
            terms=dict(kd=cwd('neck')),
            **SIZE,
        )
    )
    model.init_weights()
    assert cfg == zoo.deformable_detr()
    assert model.distill.teachers['teacher'].loaded
