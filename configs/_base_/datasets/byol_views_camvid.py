# The 367 training images of CamVid at 320x240, with milder crops than BYOL's
# and without their labels.
# data_root/images/train/
# The environment variable CAMVID_ROOT sets data_root.
_base_ = './byol_views.py'
data_root = '{{$CAMVID_ROOT:data/camvid/}}'
crop_size = (96, 128)
# Width to height as the view has it, give or take a third.
crop = dict(
    type='mmdistill_dense.RandomResizedCrop',
    size=crop_size,
    scale=(0.2, 1.0),
    ratio=(1, 16 / 9))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='mmdistill_dense.MultiView',
        transforms=[[crop, *_base_.changes_1], [crop, *_base_.changes_2]]),
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
