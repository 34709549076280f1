# MasKD on the neck, as in the authors' configs of detectors. The align
# convolution stands at every level, also where the channels are equal, and
# starts as torch's does. A config says where its tokens are: loss.tokens.
terms = dict(
    maskd=dict(
        at='neck',
        connector=dict(type='mmdistill_dense.ConvConnector', init='torch'),
        loss=dict(
            type='mmdistill_dense.MaskedDetectionLoss',
            weighting=True,
            custom_mask_warmup=5000,  # iterations
            loss_weight=1.0)))
