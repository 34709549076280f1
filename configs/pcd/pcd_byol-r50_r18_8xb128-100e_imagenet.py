_base_ = './pcd_mocov3-r50_r18_8xb128-100e_imagenet.py'
model = dict(
    teacher=dict(layout='byol', checkpoint='checkpoints/byol_r50.pth.tar'))
