_base_ = [
    './pspnet_student_shapes.py',
    '../_base_/teachers/pspnet_shapes.py',
    '../_base_/terms/cwd_paper-logits.py'
]
_base_.teacher.update(channels_last=True)
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
