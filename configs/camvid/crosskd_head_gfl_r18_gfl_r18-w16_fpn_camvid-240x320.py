_base_ = [
    './gfl_r18-w16_fpn_camvid-240x320.py',
    '../_base_/teachers/gfl_r18_fpn_camvid.py',
    '../_base_/terms/crosskd_gfl.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
