_base_ = './pcd_mocov3-vit-b16_r18_8xb128-100e_imagenet.py'
model = dict(backbone=dict(depth=34))
