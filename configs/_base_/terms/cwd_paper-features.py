# CWD on the last feature map, the student's taken after its dropout.
# tau 4 and weight 50 are UNVERIFIED: they are known from a port (CIRKD) only,
# with another divisor; the logs in the authors' repository say weight 35-40,
# best at tau 7-8.
terms = dict(
    cwd_features=dict(
        at=dict(
            student=dict(path='decode_head.conv_seg', take='input'),
            teacher=dict(path='decode_head.conv_seg', take='input')),
        connector=dict(
            type='mmdistill_dense.ConvConnector',
            bias=False,
            norm_cfg=dict(type='BN'),
            act_cfg=dict(type='ReLU')),
        loss=dict(
            type='mmdistill_dense.ChannelWiseLoss', tau=4.0,
            loss_weight=50.0)))
