# The teacher's last map at stride 16: block 14, 120 channels.
_base_ = [
    '../camvid/mask-rcnn_r18-w16_fpn_camvid-240x320.py',
    '../_base_/teachers/efficientnet-lite2.py',
    '../_base_/terms/cwd_encoder.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=dict(
        cwd=dict(
            at=dict(
                student='backbone.layer3',
                teacher='backbone.model._blocks.14'),
            loss=_base_.terms.cwd.loss)))
