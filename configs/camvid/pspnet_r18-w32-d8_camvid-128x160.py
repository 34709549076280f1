# The same PSPNet at half the width.
_base_ = './pspnet_r18-d8_camvid-128x160.py'
model = dict(
    backbone=dict(base_channels=32, stem_channels=32),
    decode_head=dict(in_channels=256, channels=64),
    auxiliary_head=dict(in_channels=128, channels=32))
