_base_ = [
    'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py',  # lr 0.01
    '../_base_/teachers/retinanet_x101-64x4d_fpn_2x_coco.py'
]
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=dict(
        cwd=dict(
            at='neck.fpn_convs.{0..3}.conv',  # P3-P6; P7 is left out
            loss=dict(
                type='mmdistill_dense.ChannelWiseLoss',
                tau=1.0,
                loss_weight=5.0))))
