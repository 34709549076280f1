# Weight decay 0.1 is the authors' for this teacher; the paper says 0.001.
_base_ = [
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/maskd_tokens-det_2k.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=dict(
        cfg='mmdet::cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/cascade_rcnn/cascade_mask_rcnn_x101_64x4d_fpn_20e_coco/cascade_mask_rcnn_x101_64x4d_fpn_20e_coco_20200512_161033-bdb5126a.pth'),
    at='neck',
    num_tokens=6)
optim_wrapper = dict(optimizer=dict(weight_decay=0.1))
