# The student: Mask R-CNN R18, the backbone at an eighth of the usual width,
# FPN and heads narrow, too.
_base_ = [
    '../_base_/models/mask-rcnn_r18_fpn_shapes.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/datasets/shapes_instance.py',
    '../_base_/schedules/demo_instance_440.py',
]
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=24),
    rpn_head=dict(in_channels=24, feat_channels=24),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=24),
        bbox_head=dict(
            in_channels=24, conv_out_channels=24, fc_out_channels=64
        ),
        mask_roi_extractor=dict(out_channels=24),
        mask_head=dict(in_channels=24, conv_out_channels=24),
    ),
)
train_dataloader = dict(batch_size=2)
default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=220, max_keep_ckpts=1),
)
log_processor = dict(by_epoch=False)
