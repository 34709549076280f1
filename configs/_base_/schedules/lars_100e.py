# 100 epochs of 1,024 images (8 x 128): 10 of warm-up, iteration by iteration,
# then cosine to 0. The rate is 1.0 for each 256 images of a step.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='mmdistill_dense.LARS',
        lr=4.0,
        momentum=0.9,
        weight_decay=1e-5,
        eta=1e-3))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        begin=0,
        end=10,
        by_epoch=True,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        begin=10,
        T_max=90,
        end=100,
        by_epoch=True,
        convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100)
auto_scale_lr = dict(enable=False, base_batch_size=1024)
