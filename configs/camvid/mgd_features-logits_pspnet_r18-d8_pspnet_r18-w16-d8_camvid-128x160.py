_base_ = [
    './pspnet_r18-w16-d8_camvid-128x160.py',
    '../_base_/teachers/pspnet_r18-d8_camvid.py',
    '../_base_/terms/mgd_seg.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
