# MGD on the outputs of the FPN's convolutions, with the authors' values for
# two-stage detectors.
terms = dict(
    mgd=dict(
        at='neck.fpn_convs.{0..3}.conv',
        connector=dict(
            type='mmdistill_dense.MaskedGenerator', mask_ratio=0.45),
        loss=dict(type='mmdistill_dense.SummedErrorLoss', loss_weight=5e-7)))
