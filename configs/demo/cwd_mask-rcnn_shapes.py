_base_ = [
    './mask-rcnn_student_shapes.py',
    '../_base_/teachers/mask-rcnn_shapes.py',
    '../_base_/terms/cwd_openmmlab-det.py'
]
# Ten times the usual weight: 440 iterations are few for connectors, too.
_base_.terms.cwd.loss.update(loss_weight=100.0)
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
