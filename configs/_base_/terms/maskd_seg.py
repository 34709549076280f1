# MasKD on the classifiers' outputs, as in the authors' segmentation code:
# the tokens are learned on the main head and used on the auxiliary one, too.
# A config says where they are: loss.tokens of both terms.
terms = dict(
    maskd=dict(
        at='logits',
        loss=dict(
            type='mmdistill_dense.MaskedSegmentationLoss', loss_weight=1.0)),
    maskd_aux=dict(
        at='auxiliary_head.conv_seg',
        loss=dict(
            type='mmdistill_dense.MaskedSegmentationLoss', loss_weight=0.4)))
