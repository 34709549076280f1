# Weight decay 0.1 is the authors' for this teacher; the paper says 0.001.
_base_ = [
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/teachers/cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='neck',
    num_tokens=6)
optim_wrapper = dict(optimizer=dict(weight_decay=0.1))
