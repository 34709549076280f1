"""Short names in ``at``, and what they stand for on stock models."""

import re

import pytest
from mmengine.registry import MODELS

from mmdistill_dense.models.hosts import expand_alias
from mmdistill_dense.recorders import resolve_paths

from ..helpers.models import mask_rcnn, pspnet
from . import zoo


@pytest.mark.parametrize(
    ('build', 'paths'),
    [
        (pspnet, ['decode_head.conv_seg']),
        (zoo.retinanet, ['bbox_head.retina_cls']),
        (zoo.fcos, ['bbox_head.conv_cls']),
        (zoo.gfl, ['bbox_head.gfl_cls']),
        (
            zoo.yolox,
            [f'bbox_head.multi_level_conv_cls.{i}' for i in range(3)],
        ),
    ],
)
def test_logits_are_the_layer_of_class_scores(build, paths):
    model = MODELS.build(build())
    names = [name for name, _ in model.named_modules()]
    assert resolve_paths(expand_alias('logits', model), names) == paths


def test_the_tower_before_the_scores_is_left_out():
    cfg = zoo.fcos()
    # As many classes as the tower has channels.
    cfg.bbox_head.num_classes = cfg.bbox_head.feat_channels
    model = MODELS.build(cfg)
    assert expand_alias('logits', model) == 'bbox_head.{conv_cls}'


def test_logits_of_a_cascade_are_those_of_its_last_head():
    cfg = zoo.point_rend()
    cfg.decode_head = [cfg.decode_head[0]] * 2
    model = MODELS.build(cfg)
    assert expand_alias('logits', model) == 'decode_head.1.conv_seg'


@pytest.mark.parametrize('path', ['neck', 'neck.fpn_convs.*.conv'])
def test_other_paths_pass(path):
    model = MODELS.build(zoo.retinanet())
    assert expand_alias(path, model) == path


@pytest.mark.parametrize('path', ['neck', 'neck.fpn_convs.*.conv'])
def test_a_model_without_a_neck_has_a_backbone_instead(path):
    model = MODELS.build(pspnet())
    with pytest.raises(
        ValueError,
        match=rf"EncoderDecoder has no neck for '{re.escape(path)}'\. Record "
        r"its 'backbone', with at=dict\(student=",
    ):
        expand_alias(path, model)
    model.neck = None
    with pytest.raises(ValueError, match='has no neck'):
        expand_alias(path, model)


@pytest.mark.parametrize('path', ['neck', 'backbone.layer4', 'logits'])
def test_a_semi_supervised_teacher_holds_two_of_each(path):
    model = MODELS.build(zoo.soft_teacher())
    with pytest.raises(
        ValueError,
        match=r'SoftTeacher is semi-supervised and holds two detectors, of '
        rf"which '{path}' names neither\. Write 'teacher\.' before",
    ):
        expand_alias(path, model)
    assert expand_alias('teacher.neck', model) == 'teacher.neck'


@pytest.mark.parametrize(
    'build', [mask_rcnn, zoo.deformable_detr, zoo.point_rend]
)
def test_models_without_dense_scores_are_refused(build):
    model = MODELS.build(build())
    with pytest.raises(
        ValueError,
        match=rf"{type(model).__name__} has no module that at='logits' .*"
        "Name a module, or use 'neck' or 'backbone'",
    ):
        expand_alias('logits', model)
