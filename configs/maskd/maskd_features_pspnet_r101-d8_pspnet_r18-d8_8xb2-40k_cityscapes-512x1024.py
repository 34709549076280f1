_base_ = [
    'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py',
    '../_base_/teachers/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024.py',
    '../_base_/terms/maskd_seg-features.py'
]
token_cfg = (
    'mmdistill_dense::maskd/tokens_features_pspnet_r101-d8_cityscapes-512x1024.py')
_base_.terms.maskd_features.loss.tokens = (
    'work_dirs/tokens_features_pspnet_r101-d8_cityscapes-512x1024/tokens.pth')
optim_wrapper = dict(optimizer=dict(lr=0.02))
train_cfg = dict(max_iters=40000)
_base_.param_scheduler[0].end = 40000
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=_base_.teacher,
    terms=_base_.terms)
