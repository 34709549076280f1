# PCD from the backbone and the head of contrast_r18-w32-d8.py. A config says
# how wide the student is, where the teacher's weights are, how long the queue
# is, and the size of its views, input_size.
_base_ = './contrast_r18-w32-d8.py'
model = dict(
    _delete_=True,
    type='mmdistill_dense.PixelContrastDistiller',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone={**_base_.model.backbone, 'init_cfg': None},
    teacher=dict(
        backbone={**_base_.model.backbone, 'init_cfg': None},
        head=_base_.model.head),
    attention=dict(type='mmdistill_dense.PixelAttention', num_heads=8),
    head=dict(
        type='mmdistill_dense.PixelHead',
        projector=(256, 64),
        predictor=(256, 64)),
    loss=dict(type='mmdistill_dense.PixelContrastLoss', tau=0.2),
    pairing='aligned')
