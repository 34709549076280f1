# The embedded data set, 96x128 pixels, with 8 classes of things:
# python -m mmdistill_dense.datasets.shapes data/shapes
# data_root/images/{train,val}/
# data_root/annotations/instances_{train,val}.json
# The environment variable SHAPES_ROOT sets data_root.
data_root = '{{$SHAPES_ROOT:data/shapes/}}'
metainfo = dict(
    classes=('disc', 'button', 'gift', 'tile', 'kite', 'star', 'ring',
             'cross'),
    palette=[(230, 25, 75), (245, 130, 48), (60, 180, 75), (170, 220, 60),
             (0, 130, 200), (255, 225, 25), (145, 30, 180), (70, 240, 240)])
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomFlip',
        prob=[0.25, 0.25, 0.25],
        direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackDetInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale_factor=1.0, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric',
    ann_file=f'{data_root.rstrip("/")}/annotations/instances_val.json',
    metric=['bbox', 'segm'])
test_evaluator = val_evaluator
