# The teacher: Mask R-CNN R18 at full width under narrow heads, from scratch.
# Half of all boxes are less than 22 pixels wide and high.
_base_ = [
    '../_base_/models/mask-rcnn_r18_fpn.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/datasets/camvid_instance.py',
    '../_base_/schedules/camvid_instance_600.py'
]
model = dict(
    neck=dict(out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=4),
        mask_roi_extractor=dict(out_channels=64),
        mask_head=dict(in_channels=64, conv_out_channels=64, num_classes=4)),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)))
default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(
        by_epoch=False, interval=300, save_best='coco/segm_mAP'))
log_processor = dict(by_epoch=False)
