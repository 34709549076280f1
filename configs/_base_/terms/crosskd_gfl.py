# CrossKD on GFL with the values of its authors: after three of four
# convolutions the student's maps run on through the teacher's head.
terms = dict(
    crosskd_cls=dict(
        at=dict(
            student=dict(path='bbox_head.cls_convs.2.gn', clone=True),
            teacher='bbox_head.gfl_cls'),
        extras=dict(
            reference=dict(
                teacher=dict(path='bbox_head.cls_convs.2.gn', clone=True))),
        connector=dict(type='mmdistill_dense.StatisticsConnector'),
        through=[
            'bbox_head.cls_convs.2.activate',
            'bbox_head.cls_convs.3',
            'bbox_head.gfl_cls',
        ],
        loss=dict(type='mmdistill_dense.FocalScoreLoss', loss_weight=1.0)),
    crosskd_reg=dict(
        at=dict(
            student=dict(path='bbox_head.reg_convs.2.gn', clone=True),
            teacher='bbox_head.scales.*'),
        extras=dict(
            reference=dict(
                teacher=dict(path='bbox_head.reg_convs.2.gn', clone=True)),
            scores=dict(teacher='bbox_head.gfl_cls')),
        connector=dict(type='mmdistill_dense.StatisticsConnector'),
        through=[
            'bbox_head.reg_convs.2.activate',
            'bbox_head.reg_convs.3',
            'bbox_head.gfl_reg',
            'bbox_head.scales.{level}',
        ],
        loss=dict(
            type='mmdistill_dense.EdgeDistributionLoss',
            tau=1.0,
            loss_weight=4.0)))
