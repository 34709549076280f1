# FGD with the values of the authors' configs of RetinaNet, GFL and SOLO. The
# weights hold for each level, and the levels are summed.
terms = dict(
    fgd=dict(
        at='neck.fpn_convs.{0..4}.conv',
        loss=dict(
            type='mmdistill_dense.FocalGlobalLoss',
            foreground_weight=1e-3,
            background_weight=5e-4,
            attention_weight=5e-4,
            context_weight=5e-6,
            tau=0.5,
            loss_weight=1.0)))
