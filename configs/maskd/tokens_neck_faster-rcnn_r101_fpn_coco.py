# SGD is the authors' choice for this teacher; the paper says Adam. Their file
# builds an R50 for the R101's weights; this one builds the R101.
_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=dict(
        cfg='mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r101_fpn_2x_coco/faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth'),
    at='neck',
    num_tokens=6)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='SGD',
        lr=0.1,
        momentum=0.9,
        weight_decay=0.0001))
