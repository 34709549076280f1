# The student's box head is class-agnostic like the teacher's first stage.
_base_ = [
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py',
    '../_base_/teachers/cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py',
    '../_base_/terms/maskd_faster-rcnn.py'
]
token_cfg = (
    'mmdistill_dense::maskd/tokens_neck_cascade-mask-rcnn_x101-64x4d_fpn_coco.py')
_base_.terms.maskd.loss.update(
    tokens='work_dirs/tokens_neck_cascade-mask-rcnn_x101-64x4d_fpn_coco/tokens.pth',
    custom_mask_warmup=5000)
_base_.terms.imitation.at = dict(
    student='roi_head.bbox_head.fc_reg',
    teacher='roi_head.bbox_head.0.fc_reg')
_base_.model.roi_head.bbox_head.reg_class_agnostic = True
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
