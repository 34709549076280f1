# DINOv2 ViT-B/14 with registers in transformers: pip install transformers. The
# file is that of github.com/facebookresearch/dinov2,
# dinov2_vitb14_reg4_pretrain.pth.
teacher = dict(
    type='mmdistill_dense.EncoderTeacher',
    model=dict(
        call='transformers.Dinov2WithRegistersModel', config=dict(
            call='transformers.Dinov2WithRegistersConfig', image_size=518,
            patch_size=14, num_register_tokens=4)),
    output='last_hidden_state', multiple=14, layout='dinov2',
    checkpoint=None)
