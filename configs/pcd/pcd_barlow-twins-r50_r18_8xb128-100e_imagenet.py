# The teacher gives 8192 channels: the queue takes 2 GiB in float32, and the
# student's head, with five convolutions of 8192x8192, has 340 M parameters.
_base_ = './pcd_mocov3-r50_r18_8xb128-100e_imagenet.py'
model = dict(
    teacher=dict(
        layout='barlow_twins',
        checkpoint='checkpoints/barlowtwins/checkpoint.pth'))
