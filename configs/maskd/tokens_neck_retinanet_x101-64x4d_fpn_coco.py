# One teacher for both stages, the one trained for 3x at several scales: the
# authors distil from it, while their stage 1 file names the 2x checkpoint.
_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=dict(
        cfg='mmdet::retinanet/retinanet_x101-64x4d_fpn_ms-640-800-3x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_x101_64x4d_fpn_mstrain_3x_coco/retinanet_x101_64x4d_fpn_mstrain_3x_coco_20210719_051838-022c2187.pth'),
    at='neck',
    num_tokens=6)
