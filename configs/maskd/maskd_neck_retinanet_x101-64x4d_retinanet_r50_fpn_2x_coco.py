_base_ = [
    'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py',
    '../_base_/teachers/retinanet_x101-64x4d_fpn_ms-640-800-3x_coco.py',
    '../_base_/terms/maskd_retinanet.py'
]
token_cfg = (
    'mmdistill_dense::maskd/tokens_neck_retinanet_x101-64x4d_fpn_coco.py')
_base_.terms.maskd.loss.update(
    tokens='work_dirs/tokens_neck_retinanet_x101-64x4d_fpn_coco/tokens.pth',
    custom_mask_warmup=8500,
    loss_weight=7.0)
optim_wrapper = dict(
    optimizer=dict(lr=0.02), clip_grad=dict(max_norm=35, norm_type=2))
_base_.param_scheduler[0].end = 1000
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    inherit=['neck', 'bbox_head'],
    terms=_base_.terms)
