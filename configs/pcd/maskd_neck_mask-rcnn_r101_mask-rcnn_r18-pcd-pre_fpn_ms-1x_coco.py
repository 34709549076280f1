_base_ = [
    './mask-rcnn_r18-pcd-pre_fpn_ms-1x_coco.py',
    '../_base_/terms/maskd_det.py'
]
token_cfg = 'mmdistill_dense::maskd/tokens_neck_mask-rcnn_r101_fpn_coco.py'
_base_.terms.maskd.loss.tokens = (
    'work_dirs/tokens_neck_mask-rcnn_r101_fpn_coco/tokens.pth')
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmdet::mask_rcnn/mask-rcnn_r101_fpn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r101_fpn_2x_coco/mask_rcnn_r101_fpn_2x_coco_bbox_mAP-0.408__segm_mAP-0.366_20200505_071027-14b391c7.pth'),
    terms=_base_.terms)
