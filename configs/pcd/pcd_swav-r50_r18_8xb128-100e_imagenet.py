_base_ = './pcd_mocov3-r50_r18_8xb128-100e_imagenet.py'
model = dict(
    teacher=dict(
        layout='swav', checkpoint='checkpoints/swav_800ep_pretrain.pth.tar'))
