_base_ = [
    '../_base_/datasets/shapes_semantic.py',
    '../_base_/schedules/maskd_tokens-seg_500.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=dict(
        cfg='mmdistill_dense::demo/pspnet_teacher_shapes.py',
        checkpoint='work_dirs/pspnet_teacher_shapes/iter_500.pth'),
    at='logits',
    num_tokens=8,
    weighting=False)
