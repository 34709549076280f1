# Two terms: the one on features is inherited, the one on logits added.
_base_ = './cwd_features_pspnet_r101-d8_pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'  # noqa: E501
model = dict(
    terms=dict(
        cwd=dict(
            at='logits',
            loss=dict(
                type='mmdistill_dense.ChannelWiseLoss',
                tau=4.0,
                loss_weight=3.0))))
