_base_ = [
    'mmseg::_base_/datasets/cityscapes.py',
    '../_base_/teachers/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024.py',
    '../_base_/schedules/maskd_tokens-seg_10k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='logits',
    num_tokens=8,
    weighting=False)
