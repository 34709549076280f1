# PCD without labels: the backbone of the student learns from the teacher's,
# with the head of contrast_pspnet_shapes.py.
_base_ = './contrast_pspnet_shapes.py'
width = dict(base_channels=8, stem_channels=8)
model = dict(
    _delete_=True,
    type='mmdistill_dense.PixelContrastDistiller',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone={**_base_.model.backbone, **width, 'init_cfg': None},
    teacher=dict(
        backbone={**_base_.model.backbone, 'init_cfg': None},
        head=_base_.model.head,
        checkpoint='work_dirs/contrast_pspnet_shapes/iter_300.pth'),
    attention=dict(type='mmdistill_dense.PixelAttention', num_heads=8),
    head=dict(
        type='mmdistill_dense.PixelHead',
        projector=(256, 64),
        predictor=(256, 64)),
    loss=dict(type='mmdistill_dense.PixelContrastLoss', tau=0.2),
    queue_size=512,
    pairing='aligned',
    input_size=_base_.crop_size)
