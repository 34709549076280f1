# DINOv2 ViT-S/14 in transformers: pip install transformers. The file is that
# of github.com/facebookresearch/dinov2, dinov2_vits14_pretrain.pth.
teacher = dict(
    type='mmdistill_dense.EncoderTeacher',
    model=dict(
        call='transformers.Dinov2Model', config=dict(
            call='transformers.Dinov2Config', image_size=518, patch_size=14,
            hidden_size=384, num_attention_heads=6)),
    output='last_hidden_state', multiple=14, layout='dinov2',
    checkpoint=None)
