_base_ = [
    './mask-rcnn_r18-pcd-pre_fpn_ms-1x_coco.py',
    '../_base_/teachers/mask-rcnn_r101_fpn_2x_coco.py',
    '../_base_/terms/maskd_det.py'
]
token_cfg = 'mmdistill_dense::maskd/tokens_neck_mask-rcnn_r101_fpn_coco.py'
_base_.terms.maskd.loss.tokens = (
    'work_dirs/tokens_neck_mask-rcnn_r101_fpn_coco/tokens.pth')
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
