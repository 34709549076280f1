# 440 iterations of batch 2: what a CPU core does in a minute and a half.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=0.0005),
    clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='PolyLR',
        eta_min=0.0,
        power=0.9,
        begin=50,
        end=440,
        by_epoch=False)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=440, val_interval=440)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
