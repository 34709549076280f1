# PCD on CamVid without labels: the backbone of the narrow PSPNet learns from
# that of the wide one, with the head of contrast_r18-w32-d8_camvid-96x128.py.
_base_ = './contrast_r18-w32-d8_camvid-96x128.py'
width = dict(base_channels=16, stem_channels=16)
model = dict(
    _delete_=True,
    type='mmdistill_dense.PixelContrastDistiller',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone={**_base_.model.backbone, **width, 'init_cfg': None},
    teacher=dict(
        backbone={**_base_.model.backbone, 'init_cfg': None},
        head=_base_.model.head,
        checkpoint='work_dirs/contrast_r18-w32-d8_camvid-96x128/iter_1000.pth'
    ),
    attention=dict(type='mmdistill_dense.PixelAttention', num_heads=8),
    head=dict(
        type='mmdistill_dense.PixelHead',
        projector=(256, 64),
        predictor=(256, 64)),
    loss=dict(type='mmdistill_dense.PixelContrastLoss', tau=0.2),
    queue_size=256,
    pairing='aligned',
    input_size=_base_.crop_size)
