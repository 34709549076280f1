_base_ = [
    '../_base_/datasets/shapes_instance.py',
    '../_base_/schedules/maskd_tokens-det_200.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=dict(
        cfg='mmdistill_dense::demo/mask-rcnn_teacher_shapes.py',
        checkpoint='work_dirs/mask-rcnn_teacher_shapes/iter_300.pth'),
    at='neck',
    num_tokens=6)
