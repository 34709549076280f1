# The student's head has what the authors gave it and the teacher has not:
# centre sampling, distances in strides, GIoU, NMS at 0.6.
_base_ = [
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_ms-640-800-2x_coco.py',
    '../_base_/teachers/fcos_r101-caffe_fpn_gn-head_ms-640-800-2x_coco.py',
    '../_base_/terms/maskd_det.py'
]
token_cfg = (
    'mmdistill_dense::maskd/tokens_neck_fcos_r101-caffe_fpn_gn-head_coco.py')
_base_.terms.maskd.loss.update(
    tokens='work_dirs/tokens_neck_fcos_r101-caffe_fpn_gn-head_coco/tokens.pth',
    custom_mask_warmup=5000,
    loss_weight=10.0)
_base_.model.bbox_head.update(
    norm_on_bbox=True,
    center_sampling=True,
    conv_bias=True,
    loss_bbox=dict(type='GIoULoss', loss_weight=1.0))
_base_.model.test_cfg.nms.iou_threshold = 0.6
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
