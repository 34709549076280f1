_base_ = [
    '../_base_/datasets/camvid_instance.py',
    '../_base_/teachers/mask-rcnn_r18_fpn_camvid.py',
    '../_base_/schedules/maskd_tokens-det_200.py'
]
model = dict(
    type='mmdistill_dense.MaskTokenLearner',
    teacher=_base_.teacher,
    at='neck',
    num_tokens=6)
# At the usual rate (0.01) most masks of the coarse levels are full or empty
# after 200 iterations.
optim_wrapper = dict(optimizer=dict(lr=0.002))
