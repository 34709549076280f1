_base_ = [
    'mmdet::reppoints/reppoints-moment_r50_fpn-gn_head-gn_2x_coco.py',
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
    teacher=dict(
        cfg='mmdet::reppoints/reppoints-moment_x101-dconv-c3-c5_fpn-gn_head-gn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/reppoints/reppoints_moment_x101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco/reppoints_moment_x101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco_20200329-f87da1ea.pth'),
    terms=_base_.terms)
