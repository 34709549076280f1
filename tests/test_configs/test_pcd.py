"""What the configs of PCD say: the recipe, and what starts from it."""

import inspect
import re

import pytest

from mmdistill_dense.models.pcd import (
    PixelContrastDistiller,
    PixelContrastLoss,
)
from mmdistill_dense.models.pcd.projection_teacher import ProjectionTeacher
from tests.helpers.configs import CONFIGS, PRETRAINED, ROOT, read
from tests.helpers.rules import for_each

IMAGENET = [path for path in PRETRAINED if path.parent.name == 'pcd']
STUDENTS = {
    'r18': dict(type='mmdet.ResNet', depth=18),
    'r34': dict(type='mmdet.ResNet', depth=34),
    'mobilenet-v3-large': dict(
        type='mmdistill_dense.MobileNetV3', arch='large'
    ),
}
#: Of a teacher: layout, file, type of the backbone.
TEACHERS = {
    'mocov3-r50': ('mocov3_resnet', 'r-50-1000ep.pth.tar', 'mmdet.ResNet'),
    'mocov3-vit-b16': (
        'mocov3_vit',
        'vit-b-300ep.pth.tar',
        'mmseg.VisionTransformer',
    ),
    'byol-r50': ('byol', 'byol_r50.pth.tar', 'mmdet.ResNet'),
    'barlow-twins-r50': (
        'barlow_twins',
        'barlowtwins/checkpoint.pth',
        'mmdet.ResNet',
    ),
    'swav-r50': ('swav', 'swav_800ep_pretrain.pth.tar', 'mmdet.ResNet'),
}
START = 'work_dirs/pcd_mocov3-r50_r18_8xb128-100e_imagenet/backbone.pth'
FROM_PCD = sorted((CONFIGS / 'pcd').glob('*-pcd-pre_*.py'))


@for_each(IMAGENET)
def test_names_say_what_is_in_them(path):
    _, teacher, student, *_ = path.stem.split('_')
    model = read(path).model
    layout, file, kind = TEACHERS[teacher]
    assert model.teacher.layout == layout
    assert model.teacher.checkpoint == f'checkpoints/{file}'
    assert model.teacher.backbone.type == kind
    expected = STUDENTS[student]
    assert {key: model.backbone[key] for key in expected} == expected


def test_both_moco_teachers_have_all_three_students():
    pairs = {tuple(path.stem.split('_')[1:3]) for path in IMAGENET}
    for teacher in ('mocov3-r50', 'mocov3-vit-b16'):
        assert {(teacher, student) for student in STUDENTS} <= pairs
    assert {teacher for teacher, _ in pairs} == set(TEACHERS)


@for_each(IMAGENET)
def test_recipe(path):
    """Section 4 and the defaults of the method's description."""
    cfg = read(path)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'mmdistill_dense.LARS'
    assert (optimizer.lr, optimizer.momentum) == (4.0, 0.9)
    assert optimizer.weight_decay == 1e-5
    assert 'AmpOptimWrapper' not in cfg.optim_wrapper.type
    assert 8 * cfg.train_dataloader.batch_size == 1024
    assert cfg.auto_scale_lr.base_batch_size == 1024
    assert cfg.train_cfg.max_epochs == 100
    warmup, cosine = cfg.param_scheduler
    assert (warmup.type, warmup.begin, warmup.end) == ('LinearLR', 0, 10)
    assert (cosine.type, cosine.end) == ('CosineAnnealingLR', 100)
    assert (cosine.begin, cosine.get('eta_min', 0)) == (10, 0)
    for scheduler in (warmup, cosine):
        assert scheduler.by_epoch
        assert scheduler.convert_to_iter_based
    assert not {'val_cfg', 'test_cfg'} & set(cfg)


@for_each(IMAGENET)
def test_contrast(path):
    model = read(path).model
    assert model.loss.tau == 0.2
    assert model.queue_size == 65536
    assert model.pairing == 'cross'
    assert model.attention == dict(
        type='mmdistill_dense.PixelAttention', num_heads=8
    )
    assert model.get('head') is None
    assert not model.teacher.get('keep_last_bn', False)
    assert model.teacher.get('relu', 'spatial') == 'spatial'


def settings(view, name):
    """Of one transform of a view, which must be there once."""
    found = [step for step in view if step.type.endswith(f'.{name}')]
    assert len(found) == 1
    return found[0]


def test_views():
    pipeline = read(IMAGENET[0]).train_dataloader.dataset.pipeline
    one, two = pipeline[1].transforms
    for view, blur in ((one, 1.0), (two, 0.1)):
        crop = settings(view, 'RandomResizedCrop')
        assert (crop.size, crop.scale) == (224, (0.08, 1.0))
        assert settings(view, 'GaussianBlur').prob == blur
        assert settings(view, 'GaussianBlur').sigma == (0.1, 2.0)
        assert settings(view, 'RandomGrayscale').prob == 0.2
        jitter = settings(view, 'ColorJitter')
        assert jitter.prob == 0.8
        names = ('brightness', 'contrast', 'saturation', 'hue')
        assert [jitter[name] for name in names] == [0.4, 0.4, 0.2, 0.1]
        (flip,) = [step for step in view if step.type.endswith('RandomFlip')]
        assert flip.prob == 0.5
    solarize = settings(two, 'Solarize')
    assert (solarize.thr, solarize.prob) == (128, 0.2)
    assert not any(step.type.endswith('Solarize') for step in one)


def test_what_starts_from_it_names_the_exported_file():
    assert len(FROM_PCD) == 6
    assert (CONFIGS / 'pcd' / f'{START.split("/")[1]}.py').is_file()
    for path in FROM_PCD:
        model = read(path).model
        student = model.get('student', model)
        assert student.get('pretrained') is None
        assert student.backbone.init_cfg == dict(
            type='Pretrained', checkpoint=START, prefix='backbone.'
        )


@pytest.mark.parametrize(('form', 'length'), [('1x', 90000), ('2x', 180000)])
def test_mask_rcnn(form, length):
    """Every layer trains, with SyncBN where it has a norm."""
    path = CONFIGS / 'pcd' / f'mask-rcnn_r18-pcd-pre_fpn_ms-{form}_coco.py'
    cfg = read(path)
    model, heads = cfg.model, cfg.model.roi_head
    for part in (model.backbone, model.neck, heads.bbox_head, heads.mask_head):
        assert part.norm_cfg == dict(type='SyncBN', requires_grad=True)
    assert (model.backbone.depth, model.backbone.frozen_stages) == (18, -1)
    assert model.backbone.norm_eval is False
    assert heads.bbox_head.type == 'Shared4Conv1FCBBoxHead'
    assert cfg.optim_wrapper.optimizer.lr == 0.02
    assert 8 * cfg.train_dataloader.batch_size == 16
    _, steps = cfg.param_scheduler
    assert (cfg.train_cfg.max_iters, steps.end) == (length, length)
    last = length - length // 9
    assert steps.milestones == [2 * length // 3, last]
    resize = cfg.train_dataloader.dataset.pipeline[2]
    sides = [scale[1] for scale in resize.scales]
    assert (min(sides), max(sides)) == (640, 800)


def test_the_papers_figures_are_quoted_as_the_papers():
    """37.4 and 34.0 were not measured here."""
    for path in (ROOT / 'configs').rglob('metafile.yml'):
        text = path.read_text(encoding='utf-8')
        assert '37.4' not in text
        assert '34.0' not in text
    readme = (CONFIGS / 'pcd' / 'README.md').read_text(encoding='utf-8')
    (line,) = [s for s in readme.splitlines() if '37.4' in s or '34.0' in s]
    assert line.startswith("The paper's own figure")


def test_switches_of_the_readme_exist():
    text = (CONFIGS / 'pcd' / 'README.md').read_text(encoding='utf-8')
    found = re.findall(r'model\.([\w.]+)=', text)
    # Those of the backbone are for what starts from it.
    keys = {key for key in found if not key.startswith('backbone.')}
    assert len(keys) > 5
    known = {
        '': PixelContrastDistiller,
        'teacher': ProjectionTeacher,
        'loss': PixelContrastLoss,
    }
    for key in keys:
        owner, _, name = key.rpartition('.')
        assert name in inspect.signature(known[owner]).parameters, key
