# MasKD on the neck; beside it both sets of points that the student regresses
# imitate the teacher's, level by level.
_base_ = './maskd_det.py'
terms = dict(
    imitation_refine=dict(
        at='bbox_head.reppoints_pts_refine_out',
        loss=dict(
            type='mmdistill_dense.ImitationLoss', beta=0.11,
            loss_weight=0.2)),
    imitation_init=dict(
        at='bbox_head.reppoints_pts_init_out',
        loss=dict(
            type='mmdistill_dense.ImitationLoss', beta=0.11,
            loss_weight=0.1)))
