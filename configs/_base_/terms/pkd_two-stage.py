# PKD on the neck, with MMRazor's weight for two-stage detectors; P6, which is
# a subsampled P5, is left out.
terms = dict(
    pkd=dict(
        at='neck',
        level_weights=[1, 1, 1, 1, 0],
        loss=dict(type='mmdistill_dense.CorrelationLoss', loss_weight=6.0)))
