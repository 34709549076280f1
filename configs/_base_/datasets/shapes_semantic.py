# The embedded data set, 96x128 pixels, with 11 classes:
# python -m mmdistill_dense.datasets.shapes data/shapes
# data_root/{images,labels}/{train,val}/
# The environment variable SHAPES_ROOT sets data_root.
data_root = '{{$SHAPES_ROOT:data/shapes/}}'
crop_size = (96, 128)
metainfo = dict(
    classes=('plain', 'striped', 'checked', 'disc', 'button', 'gift',
             'tile', 'kite', 'star', 'ring', 'cross'),
    palette=[[150, 150, 150], [90, 110, 140], [130, 110, 90], [230, 25, 75],
             [245, 130, 48], [60, 180, 75], [170, 220, 60], [0, 130, 200],
             [255, 225, 25], [145, 30, 180], [70, 240, 240]])
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomFlip',
        prob=[0.25, 0.25, 0.25],
        direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackSegInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        metainfo=metainfo,
        img_suffix='.jpg',
        seg_map_suffix='.png',
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        metainfo=metainfo,
        img_suffix='.jpg',
        seg_map_suffix='.png',
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
