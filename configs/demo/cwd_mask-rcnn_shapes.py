_base_ = [
    './mask-rcnn_student_shapes.py',
    '../_base_/terms/cwd_openmmlab-det.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmdistill_dense::demo/mask-rcnn_teacher_shapes.py',
        checkpoint='work_dirs/mask-rcnn_teacher_shapes/iter_300.pth'),
    terms=_base_.terms)
