_base_ = [
    './retinanet_r18-w16_fpn_camvid-240x320.py',
    '../_base_/teachers/retinanet_r18_fpn_camvid.py',
    '../_base_/terms/crosskd_retinanet.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
