# DINOv3 ConvNeXt-T in transformers: pip install transformers. The file is that
# of github.com/facebookresearch/dinov3, under its own licence.
teacher = dict(
    type='mmdistill_dense.EncoderTeacher',
    model=dict(
        call='transformers.DINOv3ConvNextModel',
        config=dict(call='transformers.DINOv3ConvNextConfig')),
    output='last_hidden_state', multiple=32, layout='dinov3_convnext',
    checkpoint=None)
