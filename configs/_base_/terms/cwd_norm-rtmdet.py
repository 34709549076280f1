# RTMDet's recipe: both maps are normalised per channel, without weights of
# its own, before CWD; MMYOLO's values. It ends with the strong augmentation.
terms = dict(
    cwd=dict(
        at='neck.out_convs.{0..2}.conv',
        connector=dict(
            student=dict(type='mmdistill_dense.NormConnector'),
            teacher=dict(type='mmdistill_dense.NormConnector')),
        loss=dict(
            type='mmdistill_dense.ChannelWiseLoss', tau=1.0, loss_weight=1.0),
        schedule=dict(end=280, by_epoch=True)))
