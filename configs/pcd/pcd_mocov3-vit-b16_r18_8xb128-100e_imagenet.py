# The teacher's 14x14 tokens are averaged to the student's 7x7 after the head.
_base_ = './pcd_mocov3-r50_r18_8xb128-100e_imagenet.py'
model = dict(
    teacher=dict(
        backbone=dict(
            _delete_=True,
            type='mmseg.VisionTransformer',
            img_size=(224, 224),
            patch_size=16,
            embed_dims=768,
            num_layers=12,
            num_heads=12,
            qkv_bias=True,
            patch_bias=True,
            final_norm=True,
            norm_cfg=dict(type='LN', eps=1e-6)),
        layout='mocov3_vit',
        checkpoint='checkpoints/vit-b-300ep.pth.tar'))
