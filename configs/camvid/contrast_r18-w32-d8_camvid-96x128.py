# A projection head for the teacher's backbone, learned without labels by
# contrast of images. PCD compares with the teacher through this head.
_base_ = [
    '../_base_/models/contrast_r18-w32-d8.py',
    '../_base_/datasets/byol_views_camvid.py',
    '../_base_/schedules/camvid_contrast_1k.py',
    'mmseg::_base_/default_runtime.py'
]
model = dict(
    backbone=dict(
        init_cfg=dict(
            checkpoint='work_dirs/pspnet_r18-w32-d8_camvid-128x160/iter_2000.pth')),
    input_size=_base_.crop_size)
