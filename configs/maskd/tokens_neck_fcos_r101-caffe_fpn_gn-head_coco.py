_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/teachers/fcos_r101-caffe_fpn_gn-head_ms-640-800-2x_coco.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='neck',
    num_tokens=6)
_base_.train_dataloader.dataset.pipeline[2] = dict(
    type='RandomChoiceResize',
    scales=[(1333, 640), (1333, 800)],
    keep_ratio=True)
