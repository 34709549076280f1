default_hooks = dict(
    checkpoint=dict(
        by_epoch=False, interval=2, out_dir='.', type='CheckpointHook'),
    logger=dict(interval=1, type='LoggerHook'))
default_scope = 'mmseg'
log_processor = dict(by_epoch=False, window_size=1)
model = dict(
    _scope_='mmseg',
    attention=dict(num_heads=4, type='mmdistill_dense.PixelAttention'),
    backbone=dict(
        base_channels=4,
        depth=18,
        dilations=(
            1,
            1,
        ),
        norm_eval=False,
        num_stages=2,
        out_indices=(1, ),
        strides=(
            1,
            2,
        ),
        type='mmdet.ResNet',
        zero_init_residual=False),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        std=[
            58.395,
            57.12,
            57.375,
        ],
        type='mmdistill_dense.MultiViewPreprocessor'),
    input_size=(
        64,
        64,
    ),
    queue_size=32,
    teacher=dict(
        backbone=dict(
            base_channels=4,
            depth=18,
            dilations=(
                1,
                1,
            ),
            norm_eval=False,
            num_stages=2,
            out_indices=(1, ),
            strides=(
                1,
                2,
            ),
            type='mmdet.ResNet',
            zero_init_residual=False),
        checkpoint='encoder.pth',
        head=dict(widths=[
            24,
            16,
        ])),
    type='mmdistill_dense.PixelContrastDistiller')
optim_wrapper = dict(
    optimizer=dict(lr=1.0, type='mmdistill_dense.LARS'), type='OptimWrapper')
param_scheduler = [
    dict(by_epoch=False, end=4, power=0.9, type='PolyLR'),
]
randomness = dict(seed=0)
train_cfg = dict(max_iters=4, type='IterBasedTrainLoop', val_interval=4)
train_dataloader = dict(
    batch_size=2,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        data_root='shapes',
        images='images',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(
                transforms=[
                    [
                        dict(
                            size=(
                                64,
                                64,
                            ),
                            type='mmdistill_dense.RandomResizedCrop'),
                        dict(prob=0.5, type='RandomFlip'),
                        dict(prob=0.8, type='mmdistill_dense.ColorJitter'),
                    ],
                    [
                        dict(
                            size=(
                                64,
                                64,
                            ),
                            type='mmdistill_dense.RandomResizedCrop'),
                        dict(prob=0.5, type='RandomFlip'),
                        dict(prob=0.8, type='mmdistill_dense.ColorJitter'),
                    ],
                ],
                type='mmdistill_dense.MultiView'),
            dict(type='mmdistill_dense.PackViews'),
        ],
        type='mmdistill_dense.UnlabelledImages'),
    num_workers=0,
    sampler=dict(shuffle=True, type='InfiniteSampler'))
work_dir = 'pretraining'
