# MasKD is inherited, CWD added.
_base_ = './maskd_neck_mask-rcnn_r18_mask-rcnn_r18-w16_fpn_camvid-240x320.py'
model = dict(
    terms=dict(
        cwd=dict(
            at='neck',
            loss=dict(
                type='mmdistill_dense.ChannelWiseLoss',
                tau=1.0,
                loss_weight=10.0))))
