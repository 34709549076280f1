_base_ = [
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py',
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
    teacher=dict(
        cfg='mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r101_fpn_2x_coco/faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth'),
    terms=_base_.terms)
