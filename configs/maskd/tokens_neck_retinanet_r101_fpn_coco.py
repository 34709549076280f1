_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=dict(
        cfg='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_r101_fpn_2x_coco/retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth'),
    at='neck',
    num_tokens=6)
