"""Rates that the hosts derive from parameter names."""

from copy import deepcopy

import pytest
from mmdet.registry import MODELS as DET_MODELS
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from torch import nn

from ..helpers.models import (
    cwd,
    distiller,
    mask_rcnn,
    pspnet,
    save_weights,
    stock,
)
from ..helpers.runs import distilled, runner

BEIT = 'mmseg::beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py'
ADAMW = dict(type='AdamW', lr=1e-3, weight_decay=0.05)


@DET_MODELS.register_module()
class SmallConvNeXt(nn.Module):
    """The parameter names of mmpretrain's ConvNeXt, which is not installed.

    Both hosts' constructors go by the class's name and by these names.
    """

    def __init__(self, width=8):
        super().__init__()
        widths = [width * 2**i for i in range(4)]
        steps = zip([3, *widths[:3]], widths, (4, 2, 2, 2), strict=True)
        self.downsample_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, step, stride=step),
                nn.GroupNorm(1, after),
            )
            for before, after, step in steps
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(nn.Conv2d(w, w, 3, padding=1) for _ in range(n)))
            for w, n in zip(widths, (2, 2, 6, 2), strict=True)
        )

    def forward(self, x):
        maps = []
        for shrink, stage in zip(
            self.downsample_layers, self.stages, strict=True
        ):
            x = stage(shrink(x))
            maps.append(x)
        return tuple(maps)


def convnext_detector():
    cfg = mask_rcnn()
    cfg.backbone = dict(type='SmallConvNeXt')
    return cfg


def beit_segmentor(width=48):
    cfg = stock(
        BEIT,
        **{
            'backbone.img_size': (64, 64),
            'data_preprocessor.size': (64, 64),
            'decode_head.num_classes': 4,
            'auxiliary_head.num_classes': 4,
            'test_cfg.mode': 'whole',
        },
    )
    cfg.backbone.update(in_channels=3, embed_dims=width, num_heads=4)
    cfg.neck.embed_dim = width
    cfg.decode_head.in_channels = [width] * 4
    cfg.auxiliary_head.in_channels = width
    return cfg


def rates(model, scope, constructor, paramwise):
    """Learning rate and weight decay of each parameter, by its name."""
    cfg = dict(
        type='OptimWrapper',
        optimizer=dict(ADAMW),
        constructor=constructor,
        paramwise_cfg=deepcopy(paramwise),
    )
    with DefaultScope.overwrite_default_scope(scope):
        wrapper = build_optim_wrapper(model, cfg)
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }


def plain(cfg, scope):
    with DefaultScope.overwrite_default_scope(scope):
        return ROOT.build(deepcopy(cfg))


def split(all_rates):
    """The student's rates, and those of connectors."""
    connectors = {k for k in all_rates if k.startswith('distill.')}
    student = {k: v for k, v in all_rates.items() if k not in connectors}
    return student, {k: all_rates[k] for k in connectors}


@pytest.mark.parametrize('decay_type', ['layer_wise', 'stage_wise'])
def test_layer_decay_of_mmdet_gives_every_layer_its_stock_rate(
    det_teacher, decay_type
):
    student = convnext_detector()
    rule = (
        'LearningRateDecayOptimizerConstructor',
        dict(decay_rate=0.5, decay_type=decay_type, num_layers=6),
    )
    expected = rates(plain(student, 'mmdet'), 'mmdet', *rule)
    model = distiller(student, det_teacher, dict(kd=cwd('neck')))
    found, connectors = split(rates(model, 'mmdet', *rule))
    assert found == expected
    assert len({lr for lr, _ in found.values()}) > 4
    # Connectors belong behind the backbone: the full rate.
    assert {lr for lr, _ in connectors.values()} == {ADAMW['lr']}
    assert len(connectors) == 10


def test_layer_decay_of_mmseg_gives_every_layer_its_stock_rate(tmp_path):
    student, wide = beit_segmentor(), beit_segmentor(width=64)
    teacher = dict(
        cfg=wide,
        checkpoint=save_weights(wide, tmp_path / 't.pth', scope='mmseg'),
    )
    rule = (
        'LearningRateDecayOptimizerConstructor',
        dict(num_layers=12, decay_rate=0.9, decay_type='layer_wise'),
    )
    expected = rates(plain(student, 'mmseg'), 'mmseg', *rule)
    terms = dict(kd=cwd('neck'))
    model = distiller(student, teacher, terms)
    found, connectors = split(rates(model, 'mmseg', *rule))
    assert found == expected
    assert len({lr for lr, _ in found.values()}) == 14
    assert {lr for lr, _ in connectors.values()} == {ADAMW['lr']}
    assert len(connectors) == 8


def test_custom_keys_reach_the_students_layers_and_the_connectors(
    seg_teacher,
):
    keys = {
        'backbone': dict(lr_mult=0.1),
        'decode_head': dict(decay_mult=0.0),
        'distill': dict(lr_mult=10.0, decay_mult=0.0),
    }
    rule = ('DefaultOptimWrapperConstructor', dict(custom_keys=keys))
    expected = rates(plain(pspnet(), 'mmseg'), 'mmseg', *rule)
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    found, connectors = split(rates(model, 'mmseg', *rule))
    assert found == expected
    assert found['backbone.layer4.0.conv1.weight'] == (1e-4, 0.05)
    assert found['decode_head.conv_seg.weight'] == (1e-3, 0.0)
    assert found['auxiliary_head.conv_seg.weight'] == (1e-3, 0.05)
    assert set(connectors.values()) == {(1e-2, 0.0)}


@pytest.mark.parametrize('paramwise', [None, dict(norm_decay_mult=0.0)])
def test_the_optimizer_holds_no_tensor_of_the_teacher(
    data, seg_teacher, tmp_path, paramwise
):
    # Without paramwise_cfg MMEngine passes model.parameters().
    model = distilled(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    wrapper = dict(type='OptimWrapper', optimizer=dict(ADAMW))
    if paramwise:
        wrapper['paramwise_cfg'] = paramwise
    run = runner(model, data, tmp_path, iters=1, optim_wrapper=wrapper)
    run.train()
    groups = run.optim_wrapper.optimizer.param_groups
    held = sum(len(g['params']) for g in groups)
    with DefaultScope.overwrite_default_scope('mmseg'):
        student = ROOT.build(pspnet())
    assert held == len(list(student.parameters())) + 8
    assert run.model.distill.teachers['teacher'].loaded


def test_auto_scale_lr_scales_student_and_connectors(
    data, seg_teacher, tmp_path
):
    model = distilled(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    keys = {'distill': dict(lr_mult=10.0)}
    run = runner(
        model,
        data,
        tmp_path,
        iters=1,
        batch_size=2,
        auto_scale_lr=dict(enable=True, base_batch_size=16),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=0.08),
            paramwise_cfg=dict(custom_keys=keys),
        ),
    )
    run.train()
    groups = run.optim_wrapper.optimizer.param_groups
    found = {group['lr'] for group in groups}
    assert found == {0.01, 0.1}
