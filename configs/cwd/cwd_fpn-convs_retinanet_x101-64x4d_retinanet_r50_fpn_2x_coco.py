_base_ = ['mmdet::retinanet/retinanet_r50_fpn_2x_coco.py']  # lr 0.01
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmdet::retinanet/retinanet_x101-64x4d_fpn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_x101_64x4d_fpn_2x_coco/retinanet_x101_64x4d_fpn_2x_coco_20200131-bca068ab.pth'  # noqa: E501
    ),
    terms=dict(
        cwd=dict(
            at='neck.fpn_convs.{0..3}.conv',  # P3-P6; P7 is left out
            loss=dict(
                type='mmdistill_dense.ChannelWiseLoss',
                tau=1.0,
                loss_weight=5.0))))
