# Stage 1 of MasKD on a small segmentor: 500 iterations.
_base_ = './maskd_tokens-seg_10k.py'
param_scheduler = [
    dict(
        type='PolyLR',
        eta_min=0.0,
        power=0.9,
        begin=0,
        end=500,
        by_epoch=False)
]
train_cfg = dict(max_iters=500, val_interval=500)
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=500))
