# Cosine distance on the neck, after a two-layer MLP as in RADIO's heads.
# Weight 1 is UNVERIFIED.
terms = dict(
    cosine=dict(
        at='neck',
        connector=dict(type='mmdistill_dense.MLPConnector'),
        loss=dict(type='mmdistill_dense.CosineLoss', loss_weight=1.0)))
