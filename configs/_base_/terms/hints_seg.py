# Hints on the backbone's last map: mean squared error after a 1x1
# convolution. Weight 1 is UNVERIFIED.
terms = dict(
    hints=dict(
        at='backbone.layer4',
        connector=dict(type='mmdistill_dense.ConvConnector', init='torch'),
        loss=dict(type='mmdistill_dense.SquaredErrorLoss', loss_weight=1.0)))
