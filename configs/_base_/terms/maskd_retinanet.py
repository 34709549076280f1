# MasKD on the neck; beside it the student's box regression imitates the
# teacher's, level by level.
_base_ = './maskd_det.py'
terms = dict(
    imitation=dict(
        at='bbox_head.retina_reg',
        loss=dict(
            type='mmdistill_dense.ImitationLoss', beta=1.0, loss_weight=1.0)))
