# The authors have no Mask R-CNN; optimizer and length are the paper's.
_base_ = [
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/teachers/mask-rcnn_r101_fpn_2x_coco.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='neck',
    num_tokens=6)
