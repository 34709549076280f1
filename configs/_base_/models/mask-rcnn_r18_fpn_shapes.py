# Mask R-CNN R18-FPN for the demo: a deep stem, heads of few convolutions with
# BN, few proposals. A config says how wide backbone, FPN and heads are.
_base_ = './mask-rcnn_r18_fpn.py'
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(deep_stem=True),
    neck=dict(norm_cfg=norm_cfg),
    roi_head=dict(
        bbox_head=dict(
            type='ConvFCBBoxHead',
            num_shared_convs=2,
            num_shared_fcs=1,
            num_classes=8,
            norm_cfg=norm_cfg),
        mask_head=dict(num_convs=2, num_classes=8, norm_cfg=norm_cfg)),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=100, max_per_img=50),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.5))),
    test_cfg=dict(
        rpn=dict(nms_pre=100, max_per_img=50),
        rcnn=dict(max_per_img=20)))
