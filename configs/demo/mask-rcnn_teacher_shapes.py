# The teacher: a backbone of four times the student's width, FPN and heads of
# twice, on more pictures and for longer. README.md has its commands.
_base_ = './mask-rcnn_student_shapes.py'
model = dict(
    backbone=dict(base_channels=32, stem_channels=32),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=48),
    rpn_head=dict(in_channels=48, feat_channels=48),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=48),
        bbox_head=dict(
            in_channels=48, conv_out_channels=48, fc_out_channels=128
        ),
        mask_roi_extractor=dict(out_channels=48),
        mask_head=dict(in_channels=48, conv_out_channels=48),
    ),
)
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=0.04))
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', power=0.9, by_epoch=False, begin=100, end=2500)
]
train_cfg = dict(max_iters=2500, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))
