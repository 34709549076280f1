# LD with the values of its authors; all levels are summed.
terms = dict(
    ld=dict(
        at='bbox_head.scales.*',  # edge logits with the scale of their level
        extras=dict(scores=dict(student='bbox_head.gfl_cls')),
        connector='none',
        loss=dict(
            type='mmdistill_dense.LocalisationLoss',
            tau=10.0,
            loss_weight=0.25)))
