# The student: the same RetinaNet on a backbone of a quarter of the width.
_base_ = './retinanet_r18_fpn_camvid-240x320.py'
model = dict(
    backbone=dict(base_channels=16), neck=dict(in_channels=[16, 32, 64, 128]))
