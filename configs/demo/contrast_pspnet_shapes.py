# A projection head for the teacher's backbone: images are told apart by it,
# without labels. PCD lets the teacher speak through this head.
_base_ = [
    '../_base_/models/contrast_r18-w32-d8.py',
    '../_base_/datasets/byol_views_shapes.py',
    '../_base_/schedules/demo_contrast_300.py',
    'mmseg::_base_/default_runtime.py'
]
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/pspnet_teacher_shapes/iter_500.pth')),
    input_size=_base_.crop_size)
