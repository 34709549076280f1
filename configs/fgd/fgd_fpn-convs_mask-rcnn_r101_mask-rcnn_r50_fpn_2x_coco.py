# The authors' Mask R-CNN learns from a cascade and inherits nothing; between
# two of a kind they inherit all but the backbone.
_base_ = [
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_2x_coco.py',
    '../_base_/teachers/mask-rcnn_r101_fpn_2x_coco.py',
    '../_base_/terms/fgd_two-stage.py'
]
optim_wrapper = dict(clip_grad=dict(max_norm=35, norm_type=2))
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    inherit=['neck', 'rpn_head', 'roi_head'],
    terms=_base_.terms)
