# PCD on CamVid without labels: the backbone of the narrow PSPNet learns from
# that of the wide one, with the head of contrast_r18-w32-d8_camvid-96x128.py.
_base_ = [
    '../_base_/models/pcd_r18-w32-d8.py',
    '../_base_/datasets/byol_views_camvid.py',
    '../_base_/schedules/camvid_contrast_1k.py',
    'mmseg::_base_/default_runtime.py'
]
model = dict(
    backbone=dict(base_channels=16, stem_channels=16),
    teacher=dict(
        checkpoint='work_dirs/contrast_r18-w32-d8_camvid-96x128/iter_1000.pth'),
    queue_size=256,
    input_size=_base_.crop_size)
