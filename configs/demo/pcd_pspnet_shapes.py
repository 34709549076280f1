# PCD without labels: the backbone of the student learns from the teacher's,
# with the head of contrast_pspnet_shapes.py.
_base_ = [
    '../_base_/models/pcd_r18-w32-d8.py',
    '../_base_/datasets/byol_views_shapes.py',
    '../_base_/schedules/demo_contrast_300.py',
    'mmseg::_base_/default_runtime.py'
]
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    teacher=dict(
        backbone=dict(base_channels=16, stem_channels=16),
        checkpoint='work_dirs/contrast_pspnet_shapes/iter_300.pth'),
    queue_size=512,
    input_size=_base_.crop_size)
