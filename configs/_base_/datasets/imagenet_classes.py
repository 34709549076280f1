# ImageNet-1k with its labels, for the evaluation of backbones.
# data_root/{train,val}/<class>/*.JPEG
data_root = 'data/imagenet/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdistill_dense.RandomResizedCrop', size=224),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmdistill_dense.PackLabel')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    # The short side becomes 256, the long one is free.
    dict(
        type='Resize',
        scale=(100000, 256),
        keep_ratio=True,
        interpolation='area'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='mmdistill_dense.PackLabel')
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmdistill_dense.LabelledImages',
        data_root=data_root,
        images='train',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmdistill_dense.LabelledImages',
        data_root=data_root,
        images='val',
        max_unreadable=0.,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmdistill_dense.TopAccuracy', topk=(1, 5))
test_evaluator = val_evaluator
