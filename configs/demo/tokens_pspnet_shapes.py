_base_ = [
    '../_base_/datasets/shapes_semantic.py',
    '../_base_/teachers/pspnet_shapes.py',
    '../_base_/schedules/maskd_tokens-seg_500.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='logits',
    num_tokens=8,
    weighting=False)
