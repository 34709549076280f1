# The student, whose backbone starts as PCD has left it.
_base_ = './pspnet_student_shapes.py'
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pcd_pspnet_shapes/iter_300.pth',
            prefix='backbone.')))
