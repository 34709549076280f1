# PCD: ResNet-18 learns from MoCo v3's ResNet-50, its momentum encoder with the
# projection head, whose last BatchNorm is left out. The student starts as
# torchvision's does: kaiming, fan-out, residual branches not zeroed.
model = dict(
    type='mmdistill_dense.PixelContrastDistiller',
    data_preprocessor=dict(
        type='mmdistill_dense.MultiViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        type='mmdet.ResNet',
        depth=18,
        out_indices=(3, ),
        frozen_stages=-1,
        norm_eval=False,
        zero_init_residual=False,
        style='pytorch'),
    teacher=dict(
        backbone=dict(
            type='mmdet.ResNet', depth=50, out_indices=(3, ), style='pytorch'),
        layout='mocov3_resnet',
        checkpoint='checkpoints/r-50-1000ep.pth.tar'),
    attention=dict(type='mmdistill_dense.PixelAttention', num_heads=8),
    loss=dict(type='mmdistill_dense.PixelContrastLoss', tau=0.2),
    queue_size=65536,
    pairing='cross')
