# The student: the backbone a quarter as wide, FPN and heads half as wide.
_base_ = './mask-rcnn_teacher_shapes.py'
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=24),
    rpn_head=dict(in_channels=24, feat_channels=24),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=24),
        bbox_head=dict(
            in_channels=24, conv_out_channels=24, fc_out_channels=64),
        mask_roi_extractor=dict(out_channels=24),
        mask_head=dict(in_channels=24, conv_out_channels=24)))
