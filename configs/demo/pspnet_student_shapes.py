# The student: the same PSPNet at a quarter of the teacher's width.
_base_ = './pspnet_teacher_shapes.py'
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    decode_head=dict(in_channels=64, channels=16),
    auxiliary_head=dict(in_channels=32, channels=8))
