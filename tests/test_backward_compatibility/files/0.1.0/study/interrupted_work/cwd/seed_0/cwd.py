default_hooks = dict(
    checkpoint=dict(
        by_epoch=False,
        interval=10,
        max_keep_ckpts=1,
        out_dir='interrupted_work/cwd',
        type='CheckpointHook'),
    logger=dict(interval=1, type='LoggerHook'))
default_scope = 'mmseg'
launcher = 'none'
load_from = None
log_processor = dict(by_epoch=False, window_size=1)
model = dict(
    student=dict(
        _scope_='mmseg',
        backbone=dict(
            base_channels=3,
            depth=18,
            dilations=(
                1,
                1,
            ),
            num_stages=2,
            out_indices=(
                0,
                1,
            ),
            stem_channels=3,
            strides=(
                1,
                2,
            ),
            type='ResNet'),
        data_preprocessor=dict(
            bgr_to_rgb=True,
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            size=(
                64,
                64,
            ),
            std=[
                58.395,
                57.12,
                57.375,
            ],
            type='SegDataPreProcessor'),
        decode_head=dict(
            align_corners=False,
            channels=3,
            concat_input=False,
            dropout_ratio=0.0,
            in_channels=6,
            loss_decode=dict(
                class_weight=[
                    0.05,
                    1.0,
                    1.0,
                    1.0,
                ], type='CrossEntropyLoss'),
            norm_cfg=dict(type='BN'),
            num_classes=4,
            num_convs=1,
            type='FCNHead'),
        test_cfg=dict(mode='whole'),
        train_cfg=dict(),
        type='EncoderDecoder'),
    teacher=dict(
        cfg='stock.py',
        checkpoint='interrupted_work/student/seed_0/iter_4.pth'),
    terms=dict(
        cwd=dict(
            at='logits',
            loss=dict(
                loss_weight=500.0,
                tau=1.0,
                type='mmdistill_dense.ChannelWiseLoss'))),
    type='mmdistill_dense.DenseDistiller')
optim_wrapper = dict(
    optimizer=dict(lr=0.1, momentum=0.9, type='SGD', weight_decay=0.0001),
    type='OptimWrapper')
param_scheduler = [
    dict(by_epoch=False, end=60, power=0.9, type='PolyLR'),
]
randomness = dict(seed=0)
resume = True
train_cfg = dict(max_iters=60, type='IterBasedTrainLoop', val_interval=60)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        data_root='../shapes',
        img_suffix='.jpg',
        metainfo=dict(
            classes=(
                'ground',
                'square',
                'bar',
                'pole',
            ),
            palette=[
                (
                    90,
                    90,
                    90,
                ),
                (
                    200,
                    40,
                    40,
                ),
                (
                    40,
                    200,
                    40,
                ),
                (
                    40,
                    40,
                    200,
                ),
            ]),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        seg_map_suffix='.png',
        test_mode=False,
        type='BaseSegDataset'),
    num_workers=0,
    sampler=dict(shuffle=True, type='InfiniteSampler'))
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        data_root='../shapes',
        img_suffix='.jpg',
        metainfo=dict(
            classes=(
                'ground',
                'square',
                'bar',
                'pole',
            ),
            palette=[
                (
                    90,
                    90,
                    90,
                ),
                (
                    200,
                    40,
                    40,
                ),
                (
                    40,
                    200,
                    40,
                ),
                (
                    40,
                    40,
                    200,
                ),
            ]),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
        seg_map_suffix='.png',
        test_mode=True,
        type='BaseSegDataset'),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'))
val_evaluator = dict(type='IoUMetric')
work_dir = 'interrupted_work/cwd/seed_0'
