# One teacher for both stages, the one trained for 3x at several scales: the
# authors distil from it, while their stage 1 file names the 2x checkpoint.
_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/teachers/retinanet_x101-64x4d_fpn_ms-640-800-3x_coco.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='neck',
    num_tokens=6)
