# Two views of each image, as BYOL makes them (Grill et al., 2020). No labels.
# data_root/train/<class>/*.JPEG, or any tree of images.
data_root = 'data/imagenet/'
view_size = 224
load = dict(type='LoadImageFromFile')
crop = dict(
    type='mmdistill_dense.RandomResizedCrop',
    size=view_size,
    scale=(0.08, 1.0))
flip = dict(type='RandomFlip', prob=0.5)
colour = [
    dict(
        type='mmdistill_dense.ColorJitter',
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        prob=0.8),
    dict(type='mmdistill_dense.RandomGrayscale', prob=0.2)
]
view_1 = [
    crop, flip, *colour,
    dict(type='mmdistill_dense.GaussianBlur', sigma=(0.1, 2.0), prob=1.0)
]
view_2 = [
    crop, flip, *colour,
    dict(type='mmdistill_dense.GaussianBlur', sigma=(0.1, 2.0), prob=0.1),
    dict(type='mmdistill_dense.Solarize', thr=128, prob=0.2)
]
train_pipeline = [
    load,
    dict(type='mmdistill_dense.MultiView', transforms=[view_1, view_2]),
    dict(type='mmdistill_dense.PackViews')
]
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmdistill_dense.UnlabelledImages',
        data_root=data_root,
        images='train',
        pipeline=train_pipeline))
