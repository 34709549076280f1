# ImageNet-1k without its labels, with the crops of BYOL.
# data_root/train/<class>/*.JPEG, or any tree of images.
_base_ = './byol_views.py'
data_root = 'data/imagenet/'
view_size = 224
crop = dict(
    type='mmdistill_dense.RandomResizedCrop',
    size=view_size,
    scale=(0.08, 1.0))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='mmdistill_dense.MultiView',
        transforms=[[crop, *_base_.changes_1], [crop, *_base_.changes_2]]),
    dict(type='mmdistill_dense.PackViews')
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
        type='mmdistill_dense.UnlabelledImages',
        data_root=data_root,
        images='train',
        pipeline=train_pipeline))
