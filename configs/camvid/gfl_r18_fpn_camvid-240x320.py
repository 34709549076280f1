# The teacher: GFL R18 at full width under a narrow head, from scratch.
_base_ = [
    '../_base_/models/gfl_r18_fpn.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/datasets/camvid_detection.py',
    '../_base_/schedules/camvid_instance_600.py'
]
model = dict(
    neck=dict(out_channels=64),
    bbox_head=dict(
        num_classes=4,
        in_channels=64,
        feat_channels=64,
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True)),
    test_cfg=dict(nms_pre=500))
optim_wrapper = dict(optimizer=dict(lr=0.01))
default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=300, save_best='coco/bbox_mAP'))
log_processor = dict(by_epoch=False)
