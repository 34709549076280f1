_base_ = [
    './mask-rcnn_student_shapes.py',
    '../_base_/teachers/mask-rcnn_shapes.py',
    '../_base_/terms/maskd_det.py'
]
token_cfg = 'mmdistill_dense::demo/tokens_mask-rcnn_shapes.py'
_base_.terms.maskd.loss.update(
    tokens='work_dirs/tokens_mask-rcnn_shapes/tokens.pth',
    custom_mask_warmup=160,
    loss_weight=3.0)
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
