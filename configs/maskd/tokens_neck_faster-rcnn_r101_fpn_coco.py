# SGD is the authors' choice for this teacher; the paper says Adam. Their file
# builds an R50 for the R101's weights; this one builds the R101.
_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/teachers/faster-rcnn_r101_fpn_2x_coco.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='neck',
    num_tokens=6)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='SGD',
        lr=0.1,
        momentum=0.9,
        weight_decay=0.0001))
