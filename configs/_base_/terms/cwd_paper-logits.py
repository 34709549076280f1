# CWD on the classifier's output, as in the authors' segmentation code.
terms = dict(
    cwd=dict(
        at='logits',
        loss=dict(
            type='mmdistill_dense.ChannelWiseLoss', tau=4.0, loss_weight=3.0)))
