# MasKD on features is inherited, CWD on logits added.
_base_ = './maskd_features_pspnet_r18-d8_pspnet_r18-w16-d8_camvid-128x160.py'
model = dict(
    terms=dict(
        cwd=dict(
            at='logits',
            loss=dict(
                type='mmdistill_dense.ChannelWiseLoss',
                tau=4.0,
                loss_weight=3.0))))
