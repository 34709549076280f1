# CWD on the neck with the values OpenMMLab's MMRazor uses for detectors;
# the weight holds for each level, and the levels are summed.
terms = dict(
    cwd=dict(
        at='neck',
        loss=dict(
            type='mmdistill_dense.ChannelWiseLoss', tau=1.0,
            loss_weight=10.0)))
