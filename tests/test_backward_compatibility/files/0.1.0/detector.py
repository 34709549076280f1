default_hooks = dict(
    checkpoint=dict(
        by_epoch=False,
        interval=2,
        out_dir='.',
        save_optimizer=False,
        save_param_scheduler=False,
        type='CheckpointHook'),
    logger=dict(interval=1, type='LoggerHook'))
default_scope = 'mmdet'
log_processor = dict(by_epoch=False, window_size=1)
model = dict(
    student=dict(
        _scope_='mmdet',
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
            strides=(
                1,
                2,
            ),
            type='ResNet'),
        bbox_head=dict(
            anchor_generator=dict(
                octave_base_scale=4,
                ratios=[
                    1.0,
                ],
                scales_per_octave=1,
                strides=[
                    4,
                    8,
                ],
                type='AnchorGenerator'),
            feat_channels=4,
            in_channels=4,
            num_classes=3,
            stacked_convs=1,
            type='RetinaHead'),
        data_preprocessor=dict(
            bgr_to_rgb=True,
            mean=[
                123.675,
                116.28,
                103.53,
            ],
            pad_size_divisor=32,
            std=[
                58.395,
                57.12,
                57.375,
            ],
            type='DetDataPreprocessor'),
        neck=dict(
            in_channels=[
                3,
                6,
            ], num_outs=2, out_channels=4, type='FPN'),
        test_cfg=dict(
            max_per_img=10,
            nms=dict(iou_threshold=0.5, type='nms'),
            nms_pre=100,
            score_thr=0.01),
        train_cfg=dict(
            allowed_border=-1,
            assigner=dict(
                ignore_iof_thr=-1,
                neg_iou_thr=0.4,
                pos_iou_thr=0.5,
                type='MaxIoUAssigner'),
            pos_weight=-1,
            sampler=dict(type='PseudoSampler')),
        type='RetinaNet'),
    teacher=dict(
        cfg=dict(
            _scope_='mmdet',
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
                strides=(
                    1,
                    2,
                ),
                type='ResNet'),
            bbox_head=dict(
                anchor_generator=dict(
                    octave_base_scale=4,
                    ratios=[
                        1.0,
                    ],
                    scales_per_octave=1,
                    strides=[
                        4,
                        8,
                    ],
                    type='AnchorGenerator'),
                feat_channels=4,
                in_channels=6,
                num_classes=3,
                stacked_convs=1,
                type='RetinaHead'),
            data_preprocessor=dict(
                bgr_to_rgb=True,
                mean=[
                    123.675,
                    116.28,
                    103.53,
                ],
                pad_size_divisor=32,
                std=[
                    58.395,
                    57.12,
                    57.375,
                ],
                type='DetDataPreprocessor'),
            neck=dict(
                in_channels=[
                    3,
                    6,
                ], num_outs=2, out_channels=6, type='FPN'),
            test_cfg=dict(
                max_per_img=10,
                nms=dict(iou_threshold=0.5, type='nms'),
                nms_pre=100,
                score_thr=0.01),
            train_cfg=dict(
                allowed_border=-1,
                assigner=dict(
                    ignore_iof_thr=-1,
                    neg_iou_thr=0.4,
                    pos_iou_thr=0.5,
                    type='MaxIoUAssigner'),
                pos_weight=-1,
                sampler=dict(type='PseudoSampler')),
            type='RetinaNet'),
        checkpoint='detector_teacher.pth'),
    terms=dict(
        cwd=dict(
            at='neck',
            loss=dict(
                loss_weight=1.0,
                tau=1.0,
                type='mmdistill_dense.ChannelWiseLoss'))),
    type='mmdistill_dense.DenseDistiller')
optim_wrapper = dict(
    optimizer=dict(lr=0.01, momentum=0.9, type='SGD', weight_decay=0.0001),
    type='OptimWrapper')
param_scheduler = [
    dict(by_epoch=False, end=4, power=0.9, type='PolyLR'),
]
randomness = dict(seed=0)
train_cfg = dict(max_iters=4, type='IterBasedTrainLoop', val_interval=4)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        ann_file='instances.json',
        data_prefix=dict(img='images/'),
        data_root='shapes',
        metainfo=dict(classes=(
            'square',
            'bar',
            'pole',
        )),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(keep_ratio=True, scale_factor=1.0, type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                    'flip',
                ),
                type='PackDetInputs'),
        ],
        test_mode=False,
        type='CocoDataset'),
    num_workers=0,
    sampler=dict(shuffle=True, type='InfiniteSampler'))
work_dir = 'detector'
