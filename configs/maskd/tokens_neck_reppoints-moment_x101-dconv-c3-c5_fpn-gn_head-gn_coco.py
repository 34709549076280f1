_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/teachers/reppoints-moment_x101-dconv-c3-c5_fpn-gn_head-gn_2x_coco.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='neck',
    num_tokens=6)
