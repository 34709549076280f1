# PKD on the neck, with MMRazor's weight for RetinaNet and RepPoints; P7 is
# left out.
terms = dict(
    pkd=dict(
        at='neck',
        level_weights=[1, 1, 1, 1, 0],
        loss=dict(type='mmdistill_dense.CorrelationLoss', loss_weight=10.0)))
