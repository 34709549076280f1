# FGD with the values of the authors' configs of Faster and Mask R-CNN. The
# weights hold for each level, and the levels are summed.
terms = dict(
    fgd=dict(
        at='neck.fpn_convs.{0..3}.conv',
        loss=dict(
            type='mmdistill_dense.FocalGlobalLoss',
            foreground_weight=5e-5,
            background_weight=2.5e-5,
            attention_weight=5e-5,
            context_weight=5e-7,
            tau=0.5,
            loss_weight=1.0)))
