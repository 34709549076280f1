# Hints on the neck: mean squared error after a 1x1 convolution at every
# level, as in the detectors of DIST's authors, there called mimic.
terms = dict(
    hints=dict(
        at='neck',
        connector=dict(type='mmdistill_dense.ConvConnector', init='torch'),
        loss=dict(type='mmdistill_dense.SquaredErrorLoss', loss_weight=1.0)))
