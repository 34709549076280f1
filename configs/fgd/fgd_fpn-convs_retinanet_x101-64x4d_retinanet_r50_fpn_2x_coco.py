_base_ = [
    'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py',  # lr 0.01
    '../_base_/teachers/retinanet_x101-64x4d_fpn_1x_coco.py',
    '../_base_/terms/fgd_one-stage.py'
]
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    inherit=['neck', 'bbox_head'],
    terms=_base_.terms)
