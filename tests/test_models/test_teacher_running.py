"""When a teacher is built and loaded, from what, and how much of it runs."""

import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope

from mmdistill_dense.models.teachers import FrozenTeacher

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
)
from ..helpers.models import (
    PSPNET,
    cwd,
    distiller,
    mask_rcnn,
    pspnet,
    save_weights,
)
from . import zoo

DET, SEG = detection_batch(1, (64, 64)), segmentation_batch()


def modules_that_ran(model, batch):
    """Names of the teacher's modules that one training step enters."""
    ran = []
    teacher = model.distill.teachers['teacher'].model
    for name, module in teacher.named_modules():
        module.register_forward_pre_hook(
            lambda *_, name=name: ran.append(name)
        )
    step_losses(model, batch)
    return ran


@pytest.mark.parametrize(
    ('at', 'not_run'),
    [
        ('backbone.layer2', 'backbone.layer3'),
        ('backbone.layer4', 'neck'),
        ('neck.fpn_convs.0', 'neck.fpn_convs.1'),
        ('neck', 'rpn_head.rpn_conv'),
        ('rpn_head.rpn_cls', 'roi_head.bbox_head'),
    ],
)
def test_brief_in_a_detector(teacher_of, at, not_run):
    teacher = teacher_of(mask_rcnn)
    model = distiller(mask_rcnn(), teacher, dict(kd=cwd(at)))
    model.init_weights()
    ran = modules_that_ran(model, DET)
    assert 'backbone.conv1' in ran
    assert ran[-1].startswith(at)
    assert not_run not in ran


@pytest.mark.parametrize(
    ('at', 'not_run'),
    [
        ('backbone.layer3', 'backbone.layer4'),
        ('auxiliary_head.conv_seg', 'decode_head.conv_seg'),
        ('decode_head.conv_seg', 'auxiliary_head.conv_seg'),
    ],
)
def test_brief_in_a_segmentor(seg_teacher, at, not_run):
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd(at)))
    model.init_weights()
    ran = modules_that_ran(model, SEG)
    assert ran[-1].startswith(at)
    assert not_run not in ran


def test_built_under_its_own_default_scope(tmp_path):
    """An mmdet teacher, which never says mmdet, beside an mmseg student."""
    model = mask_rcnn()
    scope = model.pop('_scope_')
    path = save_weights(model, tmp_path / 'det.pth', scope=scope)
    teacher = dict(cfg=dict(default_scope=scope, model=model), checkpoint=path)
    at = dict(student='backbone.layer2', teacher='neck.fpn_convs.1')
    student = pspnet()
    del student['_scope_']
    with DefaultScope.overwrite_default_scope('mmseg'):
        built = distiller(student, teacher, dict(kd=cwd(at)))
        built.init_weights()
        assert DefaultScope.get_current_instance().scope_name == 'mmseg'
        losses = step_losses(built, SEG)
    inside = built.distill.teachers['teacher'].model
    assert type(inside).__module__.startswith('mmdet.')
    assert losses['loss_kd'] > 0


def test_loaded_by_the_first_loss_where_nobody_calls_init_weights(seg_teacher):
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    step_losses(model, SEG)
    first = model.distill.teachers['teacher'].model
    step_losses(model, SEG)
    assert model.distill.teachers['teacher'].model is first


def test_predicting_needs_no_teacher_file(seg_teacher):
    teacher = dict(seg_teacher, checkpoint='does/not/exist.pth')
    model = distiller(pspnet(), teacher, dict(kd=cwd('backbone'))).eval()
    with torch.no_grad():
        (result,) = model.test_step(segmentation_batch(1))
    assert result.pred_sem_seg.data.shape == (1, 64, 64)
    assert not model.distill.teachers['teacher'].loaded


def test_the_teachers_own_initialisation_never_runs(teacher_of):
    teacher = teacher_of(pspnet)
    teacher['cfg'].backbone.init_cfg = dict(
        type='Pretrained', checkpoint='does/not/exist.pth'
    )
    model = distiller(pspnet(), teacher, dict(kd=cwd('backbone')))
    model.init_weights()
    assert model.distill.teachers['teacher'].loaded


def test_the_students_initialisation_is_that_of_the_stock_model(seg_teacher):
    def initialised(build):
        torch.manual_seed(3)
        model = build()
        model.init_weights()
        # The draw shows that loading leaves the generator where it was.
        return model.state_dict(), torch.rand(3)

    stock, expected = initialised(lambda: MODELS.build(pspnet()))
    distilled, drawn = initialised(
        lambda: distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    )
    assert torch.equal(drawn, expected)
    for key, value in stock.items():
        assert torch.equal(distilled[key], value), key


def test_its_config_is_written_beside_the_log(seg_teacher, tmp_path):
    MMLogger.get_instance(
        'run', log_file=str(tmp_path / 'run.log'), log_level=logging.WARNING
    )
    options = {'model.test_cfg.mode': 'slide'}
    model = distiller(
        pspnet(),
        dict(big=dict(seg_teacher, cfg_options=options)),
        dict(kd=cwd('backbone')),
    )
    assert not (tmp_path / 'teacher_big.py').exists()
    model.init_weights()
    written = Config.fromfile(tmp_path / 'teacher_big.py')
    assert written.model.test_cfg.mode == 'slide'
    expected = dict(seg_teacher['cfg'], test_cfg=dict(mode='slide'))
    assert written.model.to_dict() == Config(expected).to_dict()


@pytest.mark.parametrize(
    'options',
    [
        {'model.backbone.depth': 50, 'model.decode_head.num_classes': 7},
        {'model.backbone': {'depth': 50}, 'model.decode_head.num_classes': 7},
        dict(
            model=dict(
                backbone=dict(depth=50), decode_head=dict(num_classes=7)
            )
        ),
    ],
)
def test_options_reach_every_field_and_leave_the_config_alone(options):
    for cfg in (PSPNET, dict(model=pspnet()), pspnet()):
        config = FrozenTeacher('big', cfg, cfg_options=options).config
        assert config.model.backbone.depth == 50
        assert config.model.decode_head.num_classes == 7
        assert config.model.type == 'EncoderDecoder'
    assert cfg.backbone.depth == 18
    assert cfg == pspnet()


def test_of_a_distilled_models_config_the_student_is_taken(tmp_path):
    model = dict(
        type='mmdistill_dense.DenseDistiller',
        student=pspnet(),
        teacher=dict(cfg='nowhere.py'),
    )
    path = tmp_path / 'distilled.py'
    Config(dict(default_scope='mmseg', model=model)).dump(path)
    for cfg in (str(path), model):
        config = FrozenTeacher('big', cfg).config
        assert config.model.to_dict() == pspnet().to_dict()


def test_the_runs_top_level_preprocessor_is_the_teachers_too(tmp_path):
    cfg = pspnet()
    preprocessor = cfg.pop('data_preprocessor')
    whole = dict(default_scope='mmseg', model=cfg)
    teacher = FrozenTeacher('big', dict(whole, data_preprocessor=preprocessor))
    built, _ = teacher._build()
    assert list(built.data_preprocessor.size) == [64, 64]


def test_the_averaged_half_of_a_semi_supervised_model(teacher_of):
    teacher = teacher_of(zoo.soft_teacher)
    at = dict(student='neck', teacher='teacher.neck')
    model = distiller(mask_rcnn(), teacher, dict(kd=cwd(at)))
    assert step_losses(model, DET)['loss_kd'] > 0
