_base_ = [
    './mask-rcnn_r18-pcd-pre_fpn_ms-1x_coco.py',
    '../_base_/terms/cwd_openmmlab-det.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_1x_coco/mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth'),
    terms=_base_.terms)
