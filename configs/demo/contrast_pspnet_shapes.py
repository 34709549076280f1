# A projection head for the teacher's backbone: images are told apart by it,
# without labels. PCD lets the teacher speak through this head.
_base_ = [
    '../_base_/datasets/byol_views_shapes.py',
    '../_base_/schedules/demo_contrast_300.py',
    'mmseg::_base_/default_runtime.py'
]
model = dict(
    type='mmdistill_dense.InstanceContrast',
    data_preprocessor=dict(
        type='mmdistill_dense.MultiViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmseg.ResNetV1c',
        depth=18,
        base_channels=32,
        stem_channels=32,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(3, ),
        contract_dilation=True,
        norm_cfg=dict(type='BN', requires_grad=True),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pspnet_teacher_shapes/iter_500.pth',
            prefix='backbone.')),
    head=dict(widths=(256, 64)),
    frozen=True,
    input_size=_base_.crop_size)
