# RetinaNet R18-FPN for small images, from scratch: every layer is trained,
# and the smallest anchors are half as large as usual.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'
model = dict(
    backbone=dict(
        depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512]),
    bbox_head=dict(anchor_generator=dict(octave_base_scale=2)))
