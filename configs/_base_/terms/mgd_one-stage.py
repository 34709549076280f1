# MGD on the outputs of the FPN's convolutions, with the authors' values for
# one-stage detectors.
terms = dict(
    mgd=dict(
        at='neck.fpn_convs.{0..4}.conv',
        connector=dict(
            type='mmdistill_dense.MaskedGenerator', mask_ratio=0.65),
        loss=dict(type='mmdistill_dense.SummedErrorLoss', loss_weight=2e-5)))
