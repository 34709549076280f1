# A projection head for the backbone of a PSPNet R18-D8 of half the usual
# width. A config says where its weights are, backbone.init_cfg.checkpoint, and
# the size of its views, input_size.
model = dict(
    type='mmdistill_dense.InstanceContrast',
    data_preprocessor=dict(
        type='mmdistill_dense.MultiViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmseg.ResNetV1c',
        depth=18,
        base_channels=32,
        stem_channels=32,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(3, ),
        contract_dilation=True,
        norm_cfg=dict(type='BN', requires_grad=True),
        init_cfg=dict(type='Pretrained', prefix='backbone.')),
    head=dict(widths=(256, 64)),
    frozen=True)
