# DINOv3 ViT-S/16 in transformers: pip install transformers. The file is that
# of github.com/facebookresearch/dinov3, under its own licence.
teacher = dict(
    type='mmdistill_dense.EncoderTeacher',
    model=dict(
        call='transformers.DINOv3ViTModel', config=dict(
            call='transformers.DINOv3ViTConfig', num_register_tokens=4)),
    output='last_hidden_state', multiple=16, layout='dinov3_vit',
    checkpoint=None)
