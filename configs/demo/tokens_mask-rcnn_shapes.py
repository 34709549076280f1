_base_ = [
    '../_base_/datasets/shapes_instance.py',
    '../_base_/teachers/mask-rcnn_shapes.py',
    '../_base_/schedules/maskd_tokens-det_200.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='neck',
    num_tokens=6)
