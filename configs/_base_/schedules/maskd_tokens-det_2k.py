# Stage 1 of MasKD on a detector: 2,000 iterations of 16 images.
_base_ = 'mmdet::_base_/default_runtime.py'
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=0.01, weight_decay=0.001))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        begin=0,
        end=2000,
        by_epoch=False)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2000, val_interval=2000)
val_cfg = dict(type='mmdistill_dense.MaskedTeacherValLoop')
test_cfg = dict(type='mmdistill_dense.MaskedTeacherTestLoop')
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=2000))
custom_hooks = [dict(type='mmdistill_dense.TokenFileHook')]
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(enable=False, base_batch_size=16)
