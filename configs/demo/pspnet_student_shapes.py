# The student: PSPNet R18 at an eighth of the usual width, from scratch.
_base_ = [
    '../_base_/models/pspnet_r18-d8.py',
    'mmseg::_base_/default_runtime.py',
    '../_base_/datasets/shapes_semantic.py',
    '../_base_/schedules/demo_semantic_400.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(base_channels=8, stem_channels=8),
    decode_head=dict(in_channels=64, channels=16),
    auxiliary_head=dict(in_channels=32, channels=8),
)
