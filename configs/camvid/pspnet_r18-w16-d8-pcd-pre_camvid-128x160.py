# The student, whose backbone starts as PCD has left it.
_base_ = './pspnet_r18-w16-d8_camvid-128x160.py'
pretrained = 'work_dirs/pcd_r18-w32-d8_r18-w16-d8_camvid-96x128/iter_1000.pth'
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained', checkpoint=pretrained, prefix='backbone.')))
