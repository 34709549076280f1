# The teacher: Mask R-CNN R18 at half of the usual width, narrow heads.
_base_ = [
    '../_base_/models/mask-rcnn_r18_fpn_shapes.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/datasets/shapes_instance.py',
    '../_base_/schedules/demo_instance_300.py'
]
model = dict(
    backbone=dict(base_channels=32, stem_channels=32),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=48),
    rpn_head=dict(in_channels=48, feat_channels=48),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=48),
        bbox_head=dict(
            in_channels=48, conv_out_channels=48, fc_out_channels=128),
        mask_roi_extractor=dict(out_channels=48),
        mask_head=dict(in_channels=48, conv_out_channels=48)))
default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=1))
log_processor = dict(by_epoch=False)
