# Stage 1 of MasKD on a small detector: 200 iterations.
_base_ = './maskd_tokens-det_2k.py'
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-6,
        begin=0,
        end=200,
        by_epoch=False)
]
train_cfg = dict(max_iters=200, val_interval=200)
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=200))
