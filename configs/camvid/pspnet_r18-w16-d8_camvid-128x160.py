# The student: the same PSPNet at a quarter of the width.
_base_ = './pspnet_r18-d8_camvid-128x160.py'
model = dict(
    backbone=dict(base_channels=16, stem_channels=16),
    decode_head=dict(in_channels=128, channels=32),
    auxiliary_head=dict(in_channels=64, channels=16))
