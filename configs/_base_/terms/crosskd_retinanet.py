# CrossKD on RetinaNet with the values of its authors: after three of four
# convolutions the student's maps run on through the teacher's head.
terms = dict(
    crosskd_cls=dict(
        at=dict(
            student=dict(path='bbox_head.cls_convs.2.conv', clone=True),
            teacher='bbox_head.retina_cls'),
        extras=dict(
            reference=dict(
                teacher=dict(path='bbox_head.cls_convs.2.conv', clone=True))),
        connector=dict(type='mmdistill_dense.StatisticsConnector'),
        through=[
            'bbox_head.cls_convs.2.activate',
            'bbox_head.cls_convs.3',
            'bbox_head.retina_cls',
        ],
        loss=dict(type='mmdistill_dense.FocalScoreLoss', loss_weight=1.0)),
    crosskd_reg=dict(
        at=dict(
            student=dict(path='bbox_head.reg_convs.2.conv', clone=True),
            teacher='bbox_head.retina_reg'),
        extras=dict(
            reference=dict(
                teacher=dict(path='bbox_head.reg_convs.2.conv', clone=True)),
            scores=dict(teacher='bbox_head.retina_cls')),
        connector=dict(type='mmdistill_dense.StatisticsConnector'),
        through=[
            'bbox_head.reg_convs.2.activate',
            'bbox_head.reg_convs.3',
            'bbox_head.retina_reg',
        ],
        loss=dict(type='mmdistill_dense.BoxOverlapLoss', loss_weight=1.0)))
