# The teacher: PSPNet R18 at full width, trained from scratch.
_base_ = [
    '../_base_/models/pspnet_r18-d8.py',
    'mmseg::_base_/default_runtime.py',
    '../_base_/datasets/camvid_semantic.py',
    '../_base_/schedules/camvid_2k.py'
]
model = dict(data_preprocessor=dict(size=_base_.crop_size))
