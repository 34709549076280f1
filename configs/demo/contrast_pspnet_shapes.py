# A projection head for the teacher's backbone, learned without labels by
# contrast of images. PCD compares with the teacher through this head.
_base_ = [
    '../_base_/models/contrast_r18-w32-d8.py',
    '../_base_/teachers/pspnet_shapes.py',
    '../_base_/datasets/byol_views_shapes.py',
    '../_base_/schedules/demo_contrast_300.py',
    'mmseg::_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        base_channels=16,
        stem_channels=16,
        init_cfg=dict(checkpoint=_base_.teacher.checkpoint),
    ),
    input_size=_base_.crop_size,
)
