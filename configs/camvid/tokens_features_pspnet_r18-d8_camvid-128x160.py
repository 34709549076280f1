_base_ = [
    '../_base_/datasets/camvid_semantic.py',
    '../_base_/teachers/pspnet_r18-d8_camvid.py',
    '../_base_/schedules/maskd_tokens-seg_500.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at=dict(path='decode_head.conv_seg', take='input'),
    num_tokens=8,
    weighting=False)
# At the rate for logits (0.1) six of the eight masks end up empty: features
# are many and not negative.
optim_wrapper = dict(optimizer=dict(lr=0.01))
