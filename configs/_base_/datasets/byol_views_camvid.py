# Two views of each training image of CamVid, as BYOL makes them (Grill et
# al., 2020), with milder crops for 367 images of 320x240. No labels.
# data_root/images/train/
# The environment variable CAMVID_ROOT sets data_root.
data_root = '{{$CAMVID_ROOT:data/camvid/}}'
crop_size = (96, 128)
load = dict(type='LoadImageFromFile')
# Width to height as the view has it, give or take a third.
crop = dict(
    type='mmdistill_dense.RandomResizedCrop',
    size=crop_size,
    scale=(0.2, 1.0),
    ratio=(1, 16 / 9))
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
    batch_size=12,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='mmdistill_dense.UnlabelledImages',
        data_root=data_root,
        images='images/train',
        pipeline=train_pipeline))
