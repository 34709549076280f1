_base_ = [
    './pspnet_student_shapes.py',
    '../_base_/terms/cwd_paper-logits.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmdistill_dense::demo/pspnet_teacher_shapes.py',
        checkpoint='work_dirs/pspnet_teacher_shapes/iter_500.pth'),
    terms=_base_.terms)
