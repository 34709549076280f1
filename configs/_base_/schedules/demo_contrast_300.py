# 300 iterations of pre-training, for a CPU core. Nothing is validated.
_base_ = './camvid_contrast_1k.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=False, begin=0, end=30),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        begin=30,
        T_max=270,
        end=300,
        by_epoch=False)
]
train_cfg = dict(max_iters=300)
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=300))
