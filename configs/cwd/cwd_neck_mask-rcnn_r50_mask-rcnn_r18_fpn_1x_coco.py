_base_ = [
    '../baselines/mask-rcnn_r18_fpn_1x_coco.py',
    '../_base_/teachers/mask-rcnn_r50_fpn_1x_coco.py',
    '../_base_/terms/cwd_openmmlab-det.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
