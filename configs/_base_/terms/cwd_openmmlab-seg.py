# CWD on logits with the values OpenMMLab's MMRazor uses for segmentors.
terms = dict(
    cwd=dict(
        at='logits',
        loss=dict(
            type='mmdistill_dense.ChannelWiseLoss', tau=1.0, loss_weight=5.0)))
