_base_ = [
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py',
    '../_base_/teachers/faster-rcnn_r101_fpn_2x_coco.py',
    '../_base_/terms/maskd_faster-rcnn.py'
]
token_cfg = 'mmdistill_dense::maskd/tokens_neck_faster-rcnn_r101_fpn_coco.py'
_base_.terms.maskd.loss.update(
    tokens='work_dirs/tokens_neck_faster-rcnn_r101_fpn_coco/tokens.pth',
    custom_mask_warmup=7330)
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
