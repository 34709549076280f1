# From a PCD backbone; r18b has the plain 7x7 stem that PCD's ResNet has.
_base_ = 'mmseg::pspnet/pspnet_r18b-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    pretrained=None,
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pcd_mocov3-r50_r18_8xb128-100e_imagenet/backbone.pth',
            prefix='backbone.')))
