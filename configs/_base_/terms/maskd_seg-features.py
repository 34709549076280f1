# MasKD on the last feature map, the student's taken before its dropout, whose
# noise a squared error would punish, and brought to the teacher's channels by
# a 1x1 convolution. Not the authors': they distil logits. Weight 1 is
# UNVERIFIED. A config says where its tokens are: loss.tokens.
terms = dict(
    maskd_features=dict(
        at=dict(
            student='decode_head.bottleneck',
            teacher=dict(path='decode_head.conv_seg', take='input')),
        loss=dict(
            type='mmdistill_dense.MaskedSegmentationLoss', loss_weight=1.0)))
