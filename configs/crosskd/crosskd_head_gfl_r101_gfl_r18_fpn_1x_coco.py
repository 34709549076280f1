_base_ = [
    '../baselines/gfl_r18_fpn_1x_coco.py',
    '../_base_/teachers/gfl_r101_fpn_ms-2x_coco.py',
    '../_base_/terms/crosskd_gfl.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
