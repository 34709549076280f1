_base_ = [
    'mmdet::reppoints/reppoints-moment_r50_fpn-gn_head-gn_2x_coco.py',
    '../_base_/teachers/reppoints-moment_x101-dconv-c3-c5_fpn-gn_head-gn_2x_coco.py',
    '../_base_/terms/maskd_reppoints.py'
]
token_cfg = (
    'mmdistill_dense::maskd/tokens_neck_reppoints-moment_x101-dconv-c3-c5_fpn-gn_head-gn_coco.py')
_base_.terms.maskd.loss.update(
    tokens='work_dirs/tokens_neck_reppoints-moment_x101-dconv-c3-c5_fpn-gn_head-gn_coco/tokens.pth',
    custom_mask_warmup=5000,
    loss_weight=10.0)
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
