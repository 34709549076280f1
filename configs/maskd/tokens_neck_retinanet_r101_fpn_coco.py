_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/teachers/retinanet_r101_fpn_2x_coco.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='neck',
    num_tokens=6)
