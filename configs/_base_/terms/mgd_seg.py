# MGD on the backbone's last map, and CWD on the logits beside it, as in the
# authors' configs of segmentors.
_base_ = './cwd_paper-logits.py'
terms = dict(
    mgd=dict(
        at='backbone.layer4',
        connector=dict(
            type='mmdistill_dense.MaskedGenerator', mask_ratio=0.75),
        loss=dict(type='mmdistill_dense.SummedErrorLoss', loss_weight=2e-5)))
