_base_ = [
    './pspnet_student_shapes.py',
    '../_base_/teachers/pspnet_shapes.py',
    '../_base_/terms/maskd_seg.py'
]
token_cfg = 'mmdistill_dense::demo/tokens_pspnet_shapes.py'
_base_.terms.maskd.loss.update(
    tokens='work_dirs/tokens_pspnet_shapes/tokens.pth', loss_weight=3.0)
_base_.terms.maskd_aux.loss.update(
    tokens='work_dirs/tokens_pspnet_shapes/tokens.pth', loss_weight=1.2)
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
