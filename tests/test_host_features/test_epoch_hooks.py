"""Hooks of MMDetection that reach into the model between epochs."""

import pytest
from mmdet.models import MaskRCNN
from mmdet.registry import MODELS
from mmengine.hooks import Hook

from ..helpers.datasets import detection_dataset
from ..helpers.models import cwd, mask_rcnn, save_weights, stock
from ..helpers.runs import KeepLosses, distilled, runner

YOLOX = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
SIZE = (64, 64)
#: The stock pipeline of the config above, for small images.
MOSAIC = [
    dict(type='Mosaic', img_scale=SIZE, pad_val=114.0),
    dict(
        type='RandomAffine',
        scaling_ratio_range=(0.9, 1.1),
        border=(-SIZE[0] // 2, -SIZE[1] // 2),
    ),
    dict(type='MixUp', img_scale=SIZE, pad_val=114.0),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='Resize', scale=SIZE, keep_ratio=True),
    dict(
        type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='PackDetInputs'),
]


def yolox(width):
    """YOLOX whose neck has ``width`` channels; ``stock`` divides by 8."""
    cfg = stock(YOLOX, **{'bbox_head.num_classes': 3})
    cfg.backbone.widen_factor = width / 256
    cfg.neck.update(in_channels=[width, 2 * width, 4 * width])
    cfg.neck.out_channels = width
    cfg.bbox_head.update(in_channels=width, feat_channels=width)
    cfg.data_preprocessor.batch_augments[0].random_size_range = (64, 96)
    cfg.data_preprocessor.batch_augments[0].interval = 1
    return cfg


def mosaic(data):
    dataset = detection_dataset(data)
    dataset['pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
    ]
    return dict(type='MultiImageMixDataset', dataset=dataset, pipeline=MOSAIC)


class Watch(Hook):
    """What the model's head and the data set say in each epoch."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.use_l1, self.skipped = [], []

    def before_train_epoch(self, runner):
        self.use_l1.append(runner.model.bbox_head.use_l1)
        self.skipped.append(runner.train_dataloader.dataset._skip_type_keys)


def test_yolox_mode_switch_reaches_the_head_of_a_distilled_yolox(
    data, tmp_path
):
    wide = yolox(24)
    teacher = dict(cfg=wide, checkpoint=save_weights(wide, tmp_path / 't.pth'))
    model = distilled(yolox(16), teacher, dict(kd=cwd('neck')))
    watch, losses = Watch(), KeepLosses()
    run = runner(
        model,
        data,
        tmp_path,
        epochs=2,
        hooks=[watch, losses],
        custom_hooks=[dict(type='YOLOXModeSwitchHook', num_last_epochs=0)],
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=mosaic(data),
        ),
    )
    run.train()
    assert watch.use_l1 == [False, True]
    assert watch.skipped == [None, ('Mosaic', 'RandomAffine', 'MixUp')]
    first, last = losses.steps[0], losses.steps[-1]
    assert 'loss_l1' not in first
    assert 'loss_l1' in last
    assert first['loss_kd'] > 0
    assert last['loss_kd'] > 0


@MODELS.register_module()
class EpochAwareMaskRCNN(MaskRCNN):
    """A detector that wants to know the epoch, as the hook's users do."""

    def set_epoch(self, epoch):
        self.epochs = [*getattr(self, 'epochs', []), epoch]


def test_set_epoch_info_hook_reaches_the_students_own_method(
    data, det_teacher, tmp_path
):
    student = mask_rcnn(type='EpochAwareMaskRCNN')
    model = distilled(student, det_teacher, dict(kd=cwd('neck')))
    run = runner(
        model,
        data,
        tmp_path,
        epochs=2,
        batch_size=6,
        custom_hooks=[dict(type='SetEpochInfoHook')],
    )
    run.train()
    assert run.model.epochs == [0, 1]


@pytest.mark.parametrize('kind', ['NumClassCheckHook'])
def test_hooks_that_look_for_heads_find_them(
    data, det_teacher, tmp_path, kind
):
    # The hook compares num_classes of every head with the data set.
    student = mask_rcnn(**{'roi_head.bbox_head.num_classes': 7})
    model = distilled(student, det_teacher, dict(kd=cwd('neck')))
    run = runner(
        model, data, tmp_path, epochs=1, custom_hooks=[dict(type=kind)]
    )
    with pytest.raises(AssertionError, match=r'num_classes.*\(7\)'):
        run.train()
